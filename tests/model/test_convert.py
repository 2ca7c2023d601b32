"""`cloister convert`: pickles in, the same model out, nothing run and nothing overwritten."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from cloister.cli import main as cloister
from tests.model.checkpoints import config_of, ours, prompt, save, scattered, whole
from worker.model.convert import main
from worker.model.weights import INDEX, SINGLE

STEP = whole(prompt(12), scattered())


def pickled(folder: Path, *, tied: bool = False, shards: int = 1) -> torch.Tensor:
    """A folder with only pickles, as old ones are; answers the logits of the model."""
    model = save(config_of("Llama", tie_word_embeddings=tied), folder)
    logits = ours(folder).forward(STEP)
    (folder / SINGLE).unlink()
    items = list(model.state_dict().items())
    if shards == 1:
        torch.save(dict(items), folder / "pytorch_model.bin")
        return logits
    names = [f"pytorch_model-{i:05}-of-{shards:05}.bin" for i in range(1, shards + 1)]
    for index, name in enumerate(names):
        torch.save(dict(items[index::shards]), folder / name)
    weight_map = {item[0]: names[index % shards] for index, item in enumerate(items)}
    text = json.dumps({"weight_map": weight_map})
    (folder / "pytorch_model.bin.index.json").write_text(text)
    return logits


@pytest.mark.parametrize("tied", [False, True])
def test_converted_in_place_is_the_same_model(tmp_path: Path, tied: bool) -> None:
    logits = pickled(tmp_path, tied=tied)
    assert cloister(["convert", str(tmp_path)]) == 0
    assert torch.equal(ours(tmp_path).forward(STEP), logits)
    assert ("lm_head.weight" in load_file(tmp_path / SINGLE)) == (not tied)


def test_sharded_pickles_go_to_another_folder(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "deep" / "target"
    logits = pickled(source, shards=3)
    (source / "tokenizer.json").write_text("{}")
    before = sorted(source.iterdir())
    assert main([str(source), str(target)]) == 0
    assert torch.equal(ours(target).forward(STEP), logits)
    assert sorted(source.iterdir()) == before
    names = {path.name for path in target.iterdir()}
    assert {"config.json", "tokenizer.json", INDEX} <= names
    assert not any(name.endswith((".bin", ".partial", "bin.index.json")) for name in names)


def test_tensors_that_share_memory_are_both_kept(tmp_path: Path) -> None:
    """An untied config wants its head, even if the pickle holds it as the embedding's twin."""
    pickled(tmp_path)
    tensors = torch.load(tmp_path / "pytorch_model.bin", weights_only=True)
    tensors["lm_head.weight"] = tensors["model.embed_tokens.weight"]
    torch.save(tensors, tmp_path / "pytorch_model.bin")
    assert main([str(tmp_path)]) == 0
    written = load_file(tmp_path / SINGLE)
    assert torch.equal(written["lm_head.weight"], tensors["model.embed_tokens.weight"])


def test_nothing_is_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pickled(tmp_path)
    assert main([str(tmp_path)]) == 0
    before = (tmp_path / SINGLE).stat().st_mtime_ns
    assert main([str(tmp_path)]) == 1
    assert "which is not overwritten" in capsys.readouterr().err
    assert (tmp_path / SINGLE).stat().st_mtime_ns == before


def test_pickle_that_runs_code_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pickled(tmp_path)
    bomb = b"cos\nsystem\n(S'touch %b'\ntR." % bytes(tmp_path / "ran")
    (tmp_path / "pytorch_model.bin").write_bytes(bomb)
    assert main([str(tmp_path)]) == 1
    assert "pytorch_model.bin is not a readable file of weights" in capsys.readouterr().err
    assert not (tmp_path / "ran").exists()


def test_failure_in_a_later_shard_leaves_nothing(tmp_path: Path) -> None:
    pickled(tmp_path, shards=2)
    (tmp_path / "pytorch_model-00002-of-00002.bin").write_bytes(b"PK")
    assert main([str(tmp_path)]) == 1
    assert not list(tmp_path.glob("*.safetensors*"))


@pytest.mark.parametrize(
    ("change", "tells"),
    [
        (lambda folder: (folder / "config.json").unlink(), "no config.json"),
        (lambda folder: (folder / "pytorch_model.bin").unlink(), "nothing to convert"),
    ],
)
def test_folder_that_cannot_be_converted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], change, tells: str
) -> None:
    pickled(tmp_path)
    change(tmp_path)
    assert main([str(tmp_path)]) == 1
    assert tells in capsys.readouterr().err


def test_integer_tensors_are_refused_by_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pickled(tmp_path)
    torch.save({"steps": torch.tensor([1])}, tmp_path / "pytorch_model.bin")
    assert main([str(tmp_path)]) == 1
    assert "steps is torch.int64" in capsys.readouterr().err


def test_oldest_pickle_format_converts_too(tmp_path: Path) -> None:
    logits = pickled(tmp_path)
    path = tmp_path / "pytorch_model.bin"
    tensors = torch.load(path, weights_only=True)
    torch.save(tensors, path, _use_new_zipfile_serialization=False)
    assert main([str(tmp_path)]) == 0
    assert torch.equal(ours(tmp_path).forward(STEP), logits)
