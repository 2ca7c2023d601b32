"""Every family computes what transformers computes."""

from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
import transformers

from tests.model.checkpoints import (
    config_of,
    difference,
    greedy,
    ours,
    prompt,
    reference_greedy,
    reference_logits,
    save,
    scattered,
    whole,
)
from worker.kernels.native import Kernels
from worker.model.decoder import Decoder

LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 500000.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 32,
}
YARN = {"rope_type": "yarn", "rope_theta": 10000.0, "factor": 4.0}
LINEAR = {"rope_type": "linear", "rope_theta": 10000.0, "factor": 4.0}

CASES = {
    "llama": ("Llama", {}),
    "llama-tied": ("Llama", {"tie_word_embeddings": True}),
    "llama-multi-head": ("Llama", {"num_key_value_heads": 4}),
    "llama-multi-query": ("Llama", {"num_key_value_heads": 1}),
    "llama-head-24": ("Llama", {"head_dim": 24, "num_attention_heads": 6}),
    "llama-head-40": ("Llama", {"head_dim": 40}),
    "llama-biases": ("Llama", {"attention_bias": True, "mlp_bias": True}),
    "llama-llama3-rope": ("Llama", {"rope_parameters": LLAMA3}),
    "llama-linear-rope": ("Llama", {"rope_parameters": LINEAR}),
    "mistral-window": ("Mistral", {"sliding_window": 17}),
    "mistral-no-window": ("Mistral", {"sliding_window": None}),
    "mistral-head-16": ("Mistral", {"sliding_window": 1, "head_dim": 16}),
    "qwen2": ("Qwen2", {}),
    "qwen2-yarn": ("Qwen2", {"rope_parameters": YARN | {"original_max_position_embeddings": 64}}),
    "qwen2-window": (
        "Qwen2",
        {"use_sliding_window": True, "sliding_window": 20, "max_window_layers": 1},
    ),
    "qwen3": ("Qwen3", {"head_dim": 24}),
    "qwen3-tied-bias": (
        "Qwen3",
        {"head_dim": 10, "tie_word_embeddings": True, "attention_bias": True},
    ),
}


@dataclass(frozen=True)
class Pair:
    theirs: transformers.PreTrainedModel
    folder: Path
    ours: Decoder
    kernels: Kernels


@pytest.fixture(scope="module", params=CASES)
def pair(
    request: pytest.FixtureRequest, kernels: Kernels, tmp_path_factory: pytest.TempPathFactory
) -> Pair:
    family, changes = CASES[request.param]
    folder = tmp_path_factory.mktemp(request.param)
    theirs = save(config_of(family, **changes), folder)
    return Pair(theirs, folder, ours(folder, kernels=kernels), kernels)


def test_logits_equal_transformers(pair: Pair) -> None:
    tokens = prompt(100)
    logits = pair.ours.forward(whole(tokens, scattered()))
    assert logits.dtype == torch.float32
    assert difference(logits, reference_logits(pair.theirs, tokens)) < 1e-4


def test_64_greedy_tokens_equal_transformers(pair: Pair) -> None:
    tokens = prompt(40)
    assert greedy(pair.ours, tokens, 64) == reference_greedy(pair.theirs, tokens, 64)


def test_bfloat16_stays_close_to_transformers_bfloat16(pair: Pair) -> None:
    tokens = prompt(60)
    model = ours(pair.folder, dtype="bfloat16", kernels=pair.kernels)
    logits = model.forward(whole(tokens, scattered()))
    exact = reference_logits(pair.theirs, tokens)
    theirs = transformers.AutoModelForCausalLM.from_pretrained(pair.folder, dtype=torch.bfloat16)
    error = difference(reference_logits(theirs, tokens), exact)
    assert difference(logits, exact) < 1.5 * error + 0.01
    assert difference(logits, exact) > 1e-5, "computed in float32 after all"


def test_sliding_window_changes_the_answer(tmp_path: Path) -> None:
    """So that the equality above says something."""
    near, far = tmp_path / "near", tmp_path / "far"
    save(config_of("Mistral", sliding_window=17), near)
    save(config_of("Mistral", sliding_window=None), far)
    step = whole(prompt(60), scattered())
    assert difference(ours(near).forward(step), ours(far).forward(step)) > 0.01


def test_sharded_checkpoint_equals_single(tmp_path: Path) -> None:
    single, sharded = tmp_path / "single", tmp_path / "sharded"
    save(config_of("Qwen2"), single)
    save(config_of("Qwen2"), sharded, shard_size="30KB")
    assert len(list(sharded.glob("model-*.safetensors"))) > 2
    step = whole(prompt(20), scattered())
    assert torch.equal(ours(single).forward(step), ours(sharded).forward(step))
