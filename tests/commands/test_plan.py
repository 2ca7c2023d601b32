"""`cloister plan`: what it tells is what a worker then maps."""

import json
from pathlib import Path

import pytest
import torch

from cloister.enclaves import GIB, enclave_bytes, profile_for
from tests.commands.workers import busy, gauge, worker
from tests.fakes.vocabulary import byte_tokenizer, write_folder
from worker.commands import plan
from worker.commands.need import need, weights_bytes
from worker.execution.local import LocalExecution
from worker.model.cache import CacheType
from worker.model.config import ModelConfig
from worker.model.load import load_model
from worker.model.parameters import places
from worker.model.shapes import SHAPES, random_weights
from worker.model.shards import write_shard
from worker.settings import WorkerSettings

LLAMA = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 1024,
    "intermediate_size": 4096,
    "num_hidden_layers": 6,
    "num_attention_heads": 16,
    "num_key_value_heads": 4,
    "vocab_size": 259,
    "max_position_embeddings": 512,
    "tie_word_embeddings": True,
}


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random model of some 180 MB, more than its runtime's noise."""
    folder = tmp_path_factory.mktemp("checkpoint")
    write_folder(folder, tokenizer=byte_tokenizer())
    (folder / "config.json").write_text(json.dumps(LLAMA))
    config = ModelConfig.read(folder)
    weights = random_weights(config, torch.bfloat16)
    tensors = places(config, weights)
    write_shard(folder / "model.safetensors", tensors, tensors.values(), lambda _: None)
    return folder


@pytest.mark.skipif(torch.version.cuda is not None, reason="plans are for PyTorch's CPU build")
@pytest.mark.parametrize(
    ("model", "weights", "kept"),
    [
        ("novice", "bf16", "auto"),
        ("checkpoint", "bf16", "auto"),
        ("checkpoint", "int8", "auto"),
        ("checkpoint", "int4", "int8"),
    ],
)
async def test_plan_is_within_a_tenth_of_what_a_busy_worker_maps(
    model: str, weights: str, kept: str, request: pytest.FixtureRequest
) -> None:
    folder = model if model == "novice" else str(request.getfixturevalue(model))
    words = ["--model", folder, "--weights", weights, "--cache-mb", "32", "--threads", "1"]
    words += ["--kv-cache-dtype", kept]
    settings = WorkerSettings.load(words)
    planned = plan.plan(folder, settings, None, GIB).need.total
    with worker(*words) as url:
        await busy(url)
        measured = gauge(url, "mapped_bytes")
    assert planned == pytest.approx(measured, rel=0.1)


def test_weights_are_counted_as_they_are_allocated() -> None:
    config = SHAPES["small-5m"]
    held = places(config, random_weights(config, torch.float32))
    assert weights_bytes(config, torch.float32) == sum(place.nbytes for place in held.values())


@pytest.mark.parametrize("kept", ["auto", "int8"])
def test_cache_is_what_the_model_then_has(kept: CacheType) -> None:
    settings = WorkerSettings(cache_mb=8, kv_cache_dtype=kept)
    folder = plan.find_model("novice")
    model = load_model(
        folder, execution=LocalExecution(), cache_bytes=8 * 2**20, kv_cache_dtype=kept
    )
    found = need(ModelConfig.read(folder), torch.bfloat16, settings)
    assert found.cache == model.page_count * model.page_size * found.token_bytes


def test_budget_holds_as_many_sequences_as_told() -> None:
    found = need(SHAPES["llama-3.2-1b"], torch.bfloat16, WorkerSettings())
    count = found.sequences(16 * GIB, 8192)
    used = found.without_cache + count * 8192 * found.token_bytes
    assert used <= 16 * GIB < used + 8192 * found.token_bytes
    assert found.sequences(GIB, 8192) == 0


@pytest.mark.parametrize(("size", "enclave"), [(1, 1), (GIB, GIB), (GIB + 1, 2 * GIB)])
def test_enclave_is_the_next_power_of_two(size: int, enclave: int) -> None:
    assert enclave_bytes(size) == enclave


def test_smallest_fitting_profile_is_named() -> None:
    assert profile_for(4 * GIB) == "1b"
    assert profile_for(13 * GIB) == "3b"
    assert profile_for(41 * GIB) is None


def test_command_tells_every_part(capsys: pytest.CaptureFixture[str]) -> None:
    assert plan.main(["novice", "--cache-mb", "64", "--memory", "2", "--context", "512"]) == 0
    text = capsys.readouterr().out
    assert "2,560 bytes a token" in text
    assert "2 GiB hold" in text
    assert "of 512 tokens each" in text
    assert "profile      1b" in text


def test_int8_cache_takes_fewer_bytes_a_token(capsys: pytest.CaptureFixture[str]) -> None:
    assert plan.main(["novice", "--kv-cache-dtype", "int8"]) == 0
    assert "1,320 bytes a token" in capsys.readouterr().out


def test_readme_shows_what_the_command_prints(capsys: pytest.CaptureFixture[str]) -> None:
    assert plan.main(["novice", "--cache-mb", "64"]) == 0
    shown = (Path(__file__).parents[2] / "README.md").read_text()
    assert f"$ cloister plan novice --cache-mb 64\n{capsys.readouterr().out}```" in shown


@pytest.mark.parametrize("words", [["no-such-model"], ["--cache-mb", "0"]])
def test_bad_model_or_setting_is_one_line(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert plan.main(words) == 2
    assert capsys.readouterr().err.count("\n") == 1
