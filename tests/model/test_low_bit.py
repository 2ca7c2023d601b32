"""Low-bit models: rounded once into files or at every load, the results are the same."""

import json
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from cloister.cli import main as cloister
from cloister.errors import BadModel
from tests.model.checkpoints import (
    PAGE_SIZE,
    config_of,
    difference,
    ours,
    prompt,
    save,
    scattered,
    whole,
)
from worker.engine.step import Segment, Step
from worker.kernels.library import Library
from worker.kernels.lowbit import INT4, INT8, Format
from worker.kernels.native import Native
from worker.model.decoder import Decoder
from worker.model.load import LowBit
from worker.model.weights import INDEX, SINGLE
from worker.settings import WorkerSettings

STEP = whole(prompt(30), scattered())
FORMS = pytest.mark.parametrize(("name", "form"), [("int8", INT8), ("int4", INT4)])


def saved(folder: Path, family: str = "Llama", shards: bool = False, **changes: object) -> Path:
    save(config_of(family, **changes), folder, shard_size="20KB" if shards else "1GB")
    return folder


def quantized(source: Path, target: Path, weights: str) -> Path:
    assert cloister(["quantize", str(source), str(target), "--weights", weights]) == 0
    return target


@FORMS
@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("shards", [False, True])
def test_rounded_once_equals_rounded_at_load(
    tmp_path: Path, name: str, form: Format, tied: bool, shards: bool
) -> None:
    source = saved(tmp_path / "source", shards=shards, tie_word_embeddings=tied, mlp_bias=True)
    target = quantized(source, tmp_path / "target", name)
    assert (target / INDEX).exists() == shards
    assert torch.equal(ours(target).forward(STEP), ours(source, low_bit=form).forward(STEP))


@pytest.mark.parametrize("family", ["Qwen2", "Qwen3", "Mistral"])
def test_families_are_near_what_they_were(tmp_path: Path, family: str) -> None:
    source = saved(tmp_path, family)
    plain = ours(source).forward(STEP)
    assert difference(ours(source, low_bit=INT8).forward(STEP), plain) < 0.05


def test_half_the_bytes_of_int8_are_written_for_int4(tmp_path: Path) -> None:
    source = saved(tmp_path / "source", hidden_size=256, intermediate_size=512)
    eight, four = (
        (quantized(source, tmp_path / name, name) / SINGLE).stat().st_size
        for name in ("int8", "int4")
    )
    assert four / eight < 0.56


def test_file_is_a_plain_safetensors_file(tmp_path: Path) -> None:
    target = quantized(saved(tmp_path / "source"), tmp_path / "target", "int4")
    with safe_open(target / SINGLE, "pt") as file:
        codes = file.get_tensor("model.layers.0.mlp.down_proj.weight")
        scales = file.get_tensor("model.layers.0.mlp.down_proj.weight_scales")
    assert (codes.dtype, tuple(codes.shape)) == (torch.uint8, (48, 48))  # 80 inputs, 3 groups
    assert (scales.dtype, tuple(scales.shape)) == (torch.bfloat16, (48, 3))


@pytest.fixture(
    params=[
        {"low_bit": INT4},
        {"low_bit": INT4, "kv_cache_dtype": "int8"},
        {"dtype": "bfloat16"},
        {"dtype": "bfloat16", "kv_cache_dtype": "int8"},
    ],
    ids=["int4", "int4-int8", "bf16", "bf16-int8"],
)
def exact(request: pytest.FixtureRequest, tmp_path: Path, library: Library) -> Decoder:
    """A model all of whose sums have one order, with each type of weights and cache."""
    return ours(saved(tmp_path), kernels=Native(library), **request.param)


def test_batch_equals_alone_to_the_bit(exact: Decoder) -> None:
    lengths = (9, 40, 70, 1)
    pages = [scattered()[index::4] for index in range(4)]
    texts = [prompt(length, seed=length) for length in lengths]
    steps = [
        Segment(text, 0, own[: len(text) // PAGE_SIZE + 1], 1)
        for text, own in zip(texts, pages, strict=True)
    ]
    together = exact.forward(Step(tuple(steps)))
    alone = torch.cat([exact.forward(Step((one,))) for one in steps])
    assert torch.equal(together, alone)


@pytest.mark.parametrize("sizes", [[1] * 80, [64, 16], [33, 1, 46]])
def test_chunked_equals_at_once_to_the_bit(exact: Decoder, sizes: list[int]) -> None:
    text, pages = prompt(80), scattered()
    at_once = exact.forward(whole(text, pages))
    parts, start = [], 0
    for size in sizes:
        chunk = text[start : start + size]
        parts.append(exact.forward(Step((Segment(chunk, start, pages, size),))))
        start += size
    assert torch.equal(torch.cat(parts), at_once)


@pytest.mark.parametrize("low_bit", ["none", INT8])
def test_stored_codes_stay_as_they_are(tmp_path: Path, low_bit: LowBit) -> None:
    target = quantized(saved(tmp_path / "source"), tmp_path / "target", "int4")
    with pytest.raises(BadModel, match="holds int4 weights"):
        ours(target, low_bit=low_bit)
    with pytest.raises(AssertionError):
        quantized(target, tmp_path / "again", "int4")


def test_what_others_have_rounded_is_refused(tmp_path: Path) -> None:
    folder = saved(tmp_path)
    config = json.loads((folder / "config.json").read_text())
    config["quantization_config"] = {"quant_method": "gptq", "bits": 4, "group_size": 128}
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(BadModel, match="cloister quantize"):
        ours(folder)


def test_weights_that_are_there_are_not_overwritten(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = saved(tmp_path)
    assert cloister(["quantize", str(source), str(source)]) == 1
    assert "not overwritten" in capsys.readouterr().err


def test_truncated_source_leaves_no_weights(tmp_path: Path) -> None:
    source = saved(tmp_path / "source")
    whole_file = (source / SINGLE).read_bytes()
    (source / SINGLE).write_bytes(whole_file[:-10])
    assert cloister(["quantize", str(source), str(tmp_path / "target")]) == 1
    assert not list(tmp_path.glob("target/*.safetensors*"))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"weights": "int4", "execution": "split", "gpu": ("tcp://127.0.0.1:1",)}, "local"),
        ({"weights": "bf16", "dtype": "float32"}, "contradicts"),
    ],
)
def test_weights_that_cannot_be_are_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        WorkerSettings.model_validate(settings)
