"""Reading weights: types, and a clear refusal of every folder that is not whole."""

import json
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from cloister.errors import BadModel, BadSettings
from tests.model.checkpoints import config_of, difference, ours, prompt, save, scattered, whole
from worker.model.config import ModelConfig
from worker.model.weights import INDEX, SINGLE, read_weights

QUERY = "model.layers.1.self_attn.q_proj.weight"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save(config_of("Llama"), tmp_path)
    return tmp_path


@pytest.fixture
def sharded(tmp_path: Path) -> Path:
    save(config_of("Llama"), tmp_path, shard_size="30KB")
    return tmp_path


def rewrite(folder: Path, change: Callable[[dict[str, Tensor]], object]) -> None:
    tensors = load_file(folder / SINGLE)
    change(tensors)
    save_file(tensors, folder / SINGLE)


def refusal(folder: Path) -> str:
    with pytest.raises(BadModel) as caught:
        ours(folder)
    return caught.value.message


def stored_as(folder: Path, dtype: torch.dtype) -> None:
    rewrite(folder, lambda tensors: tensors.update({n: t.to(dtype) for n, t in tensors.items()}))


@pytest.mark.parametrize(
    ("stored", "asked", "held"),
    [
        (torch.float32, "auto", torch.float32),
        (torch.bfloat16, "auto", torch.bfloat16),
        (torch.float16, "auto", torch.bfloat16),
        (torch.float16, "float32", torch.float32),
        (torch.float32, "bfloat16", torch.bfloat16),
    ],
)
def test_dtype_as_stored_or_as_asked(
    folder: Path, stored: torch.dtype, asked: str, held: torch.dtype
) -> None:
    stored_as(folder, stored)
    weights = read_weights(folder, ModelConfig.read(folder), asked)
    expected = load_file(folder / SINGLE)[QUERY].to(held)
    assert weights.dtype == held
    assert torch.equal(weights.layers[1].qkv.matrix[: len(expected)], expected)


def test_unknown_dtype_is_refused(folder: Path) -> None:
    with pytest.raises(BadSettings, match="int4"):
        ours(folder, dtype="int4")


def test_large_tensor_converts_in_chunks(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stored_as(folder, torch.float16)
    step = whole(prompt(9), scattered())
    expected = ours(folder, dtype="float32").forward(step)
    monkeypatch.setattr("worker.model.shards.CHUNK_BYTES", 100)
    assert difference(ours(folder, dtype="float32").forward(step), expected) == 0


def test_missing_tensor(folder: Path) -> None:
    rewrite(folder, lambda tensors: tensors.pop(QUERY))
    message = refusal(folder)
    assert QUERY in message
    assert "[48, 48]" in message


def test_missing_head(folder: Path) -> None:
    rewrite(folder, lambda tensors: tensors.pop("lm_head.weight"))
    assert "lm_head.weight" in refusal(folder)


def test_wrong_shape_names_file_expected_and_found(folder: Path) -> None:
    rewrite(folder, lambda tensors: tensors.update({QUERY: torch.zeros(40, 48)}))
    message = refusal(folder)
    for part in (SINGLE, QUERY, "[40, 48]", "[48, 48]"):
        assert part in message


def test_tensor_without_a_place(folder: Path) -> None:
    bias = "model.layers.0.self_attn.q_proj.bias"
    rewrite(folder, lambda tensors: tensors.update({bias: torch.zeros(48)}))
    assert bias in refusal(folder)


def test_derived_and_tied_tensors_are_passed_over(tmp_path: Path) -> None:
    save(config_of("Llama", tie_word_embeddings=True), tmp_path)
    expected = ours(tmp_path).forward(whole(prompt(5), scattered()))
    extra = {
        "lm_head.weight": torch.zeros(97, 48),
        "model.layers.0.self_attn.rotary_emb.inv_freq": torch.zeros(6),
    }
    rewrite(tmp_path, lambda tensors: tensors.update(extra))
    assert torch.equal(ours(tmp_path).forward(whole(prompt(5), scattered())), expected)


def test_integer_weights_are_refused(folder: Path) -> None:
    quantised = torch.zeros(48, 48, dtype=torch.int8)
    rewrite(folder, lambda tensors: tensors.update({QUERY: quantised}))
    message = refusal(folder)
    assert QUERY in message
    assert "I8" in message


def test_missing_shard(sharded: Path) -> None:
    lost = sorted(sharded.glob("model-*.safetensors"))[1]
    lost.unlink()
    message = refusal(sharded)
    assert lost.name in message
    assert "missing" in message


@pytest.mark.parametrize("keep", [4, 100, -1])
def test_truncated_shard(sharded: Path, keep: int) -> None:
    shard = sorted(sharded.glob("model-*.safetensors"))[1]
    shard.write_bytes(shard.read_bytes()[:keep])
    message = refusal(sharded)
    assert shard.name in message
    assert "truncated" in message


def test_file_that_is_not_safetensors(folder: Path) -> None:
    (folder / SINGLE).write_bytes(struct.pack("<Q", 5) + b"hello")
    assert "not a safetensors file" in refusal(folder)


def test_header_that_lies_about_sizes(folder: Path) -> None:
    entry = {QUERY: {"dtype": "F32", "shape": [48, 48], "data_offsets": [0, 4]}}
    header = json.dumps(entry).encode()
    (folder / SINGLE).write_bytes(struct.pack("<Q", len(header)) + header + b"1234")
    assert QUERY in refusal(folder)


def test_index_cannot_name_files_elsewhere(sharded: Path) -> None:
    index = json.loads((sharded / INDEX).read_text())
    index["weight_map"][QUERY] = "../elsewhere.safetensors"
    (sharded / INDEX).write_text(json.dumps(index))
    assert "../elsewhere.safetensors" in refusal(sharded)


def test_folder_without_weights(folder: Path) -> None:
    (folder / SINGLE).unlink()
    assert "no weights" in refusal(folder)


def test_pickled_weights_are_never_read(folder: Path) -> None:
    (folder / SINGLE).unlink()
    bomb = b"cos\nsystem\n(S'touch %b'\ntR." % bytes(folder / "ran")
    (folder / "pytorch_model.bin").write_bytes(bomb)
    message = refusal(folder)
    assert f"cloister convert {folder}" in message
    assert not (folder / "ran").exists()


def test_tensor_in_two_shards_is_refused(sharded: Path) -> None:
    first, second, *_ = sorted(sharded.glob("model-*.safetensors"))
    twice = next(iter(load_file(first)))
    save_file(load_file(second) | {twice: torch.zeros(1)}, second)
    message = refusal(sharded)
    assert twice in message
    assert first.name in message
