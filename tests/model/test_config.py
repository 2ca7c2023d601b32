"""What a config says, in old and new spelling, and what we refuse."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from cloister.errors import BadModel
from tests.model.checkpoints import config_of
from worker.model.config import ModelConfig
from worker.model.rope import frequencies
from worker.model.rope_config import RopeConfig

PLAIN: dict[str, Any] = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 97,
    "max_position_embeddings": 128,
    "rms_norm_eps": 1e-5,
    "rope_theta": 12345.0,
}
LLAMA3 = {
    "rope_type": "llama3",
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}
QWEN2 = {"architectures": ["Qwen2ForCausalLM"], "use_sliding_window": True, "sliding_window": 9}
WINDOWED = ["full_attention", "sliding_attention", "full_attention"]


def read(folder: Path, generation: dict[str, Any] | None = None, **changes: Any) -> ModelConfig:
    (folder / "config.json").write_text(json.dumps(PLAIN | changes))
    if generation is not None:
        (folder / "generation_config.json").write_text(json.dumps(generation))
    return ModelConfig.read(folder)


def test_plain_llama(tmp_path: Path) -> None:
    config = read(tmp_path)
    assert (config.layers, config.hidden, config.heads, config.kv_heads) == (3, 64, 4, 2)
    assert (config.head_dim, config.context_length, config.norm_epsilon) == (16, 128, 1e-5)
    assert config.qkv_sizes == (64, 32, 32)
    assert config.rope == RopeConfig(theta=12345.0)
    assert config.windows == (None, None, None)
    assert not config.tied_head


def test_first_llama_has_no_grouped_queries(tmp_path: Path) -> None:
    assert read(tmp_path, num_key_value_heads=None).kv_heads == 4


def test_old_and_new_rope_spelling_say_the_same(tmp_path: Path) -> None:
    old = read(tmp_path, rope_theta=5e5, rope_scaling=LLAMA3).rope
    new = read(tmp_path, rope_theta=None, rope_parameters=LLAMA3 | {"rope_theta": 5e5}).rope
    assert old == new
    assert (old.kind, old.theta, old.factor, old.original_context) == ("llama3", 5e5, 8, 64)


def test_oldest_rope_spelling_has_type(tmp_path: Path) -> None:
    rope = read(tmp_path, rope_scaling={"type": "linear", "factor": 4.0}).rope
    assert (rope.kind, rope.factor) == ("linear", 4)


def test_stretched_context(tmp_path: Path) -> None:
    yarn = {"type": "yarn", "factor": 4.0, "original_max_position_embeddings": 128}
    assert read(tmp_path, rope_scaling=yarn).context_length == 512
    linear = {"type": "linear", "factor": 4.0}
    vicuna = read(tmp_path, rope_scaling=linear, max_sequence_length=500)
    assert vicuna.context_length == 500


@pytest.mark.parametrize(
    "rope",
    [
        {"rope_type": "default"},
        {"rope_type": "linear", "factor": 3.0},
        LLAMA3,
        {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64},
        {
            "rope_type": "yarn",
            "factor": 8.0,
            "original_max_position_embeddings": 32,
            "beta_fast": 16.0,
            "beta_slow": 2.0,
            "attention_factor": 1.5,
            "truncate": False,
        },
    ],
)
def test_frequencies_equal_transformers(tmp_path: Path, rope: dict[str, Any]) -> None:
    config = config_of("Llama", head_dim=24, rope_parameters={"rope_theta": 1e5, **rope})
    theirs = transformers.models.llama.modeling_llama.LlamaRotaryEmbedding(config)
    config.save_pretrained(tmp_path)
    mine = ModelConfig.read(tmp_path).rope
    torch.testing.assert_close(frequencies(mine, 24), theirs.inv_freq)
    assert math.isclose(mine.magnitude, theirs.attention_scaling)


@pytest.mark.parametrize(
    ("changes", "windows"),
    [
        (QWEN2 | {"max_window_layers": 1}, (None, 9, 9)),
        (QWEN2, (None, None, None)),
        (QWEN2 | {"use_sliding_window": False, "max_window_layers": 0}, (None, None, None)),
        (QWEN2 | {"layer_types": WINDOWED}, (None, 9, None)),
        ({"architectures": ["MistralForCausalLM"], "sliding_window": 7}, (7, 7, 7)),
        ({"architectures": ["MistralForCausalLM"], "sliding_window": None}, (None, None, None)),
        ({"architectures": ["MistralForCausalLM"]}, (4096, 4096, 4096)),
        ({"sliding_window": 7}, (None, None, None)),
    ],
)
def test_sliding_windows(
    tmp_path: Path, changes: dict[str, Any], windows: tuple[int | None, ...]
) -> None:
    assert read(tmp_path, **changes).windows == windows


def test_qwen3_heads_are_128_wide_unless_said(tmp_path: Path) -> None:
    config = read(tmp_path, architectures=["Qwen3ForCausalLM"])
    assert config.head_dim == 128
    assert config.heads_norm


def test_model_type_decides_where_architectures_are_absent(tmp_path: Path) -> None:
    config = read(tmp_path, architectures=None, model_type="mistral", sliding_window=None)
    assert config.family == "MistralForCausalLM"


@pytest.mark.parametrize(
    ("config", "generation", "expected"),
    [
        (5, None, (5,)),
        (5, {"eos_token_id": [7, 8]}, (7, 8)),
        ([5, 6], {"temperature": 1.0}, (5, 6)),
        (None, None, ()),
    ],
)
def test_eos_ids(
    tmp_path: Path, config: Any, generation: dict[str, Any] | None, expected: tuple[int, ...]
) -> None:
    assert read(tmp_path, generation, eos_token_id=config).eos_ids == expected


def test_unknown_architecture_lists_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(BadModel) as caught:
        read(tmp_path, architectures=["GPT2LMHeadModel"])
    for name in ("GPT2LMHeadModel", "LlamaForCausalLM", "Mistral", "Qwen2", "Qwen3ForCausalLM"):
        assert name in caught.value.message


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("hidden_act", "gelu"),
        ("quantization_config", {"bits": 4}),
        ("rope_scaling", {"type": "dynamic", "factor": 2.0}),
        ("rope_scaling", {"rope_type": "longrope", "factor": 2.0}),
        ("rope_scaling", {"rope_type": "linear", "factor": "two"}),
        ("rope_scaling", {"rope_type": "yarn", "factor": 2.0, "mscale": 1.0}),
        ("rope_parameters", {"full_attention": {"rope_type": "default"}}),
        ("partial_rotary_factor", 0.5),
        ("layer_types", WINDOWED),
        ("attention_bias", "yes"),
        ("final_logit_softcapping", 30.0),
        ("num_hidden_layers", 0),
        ("num_hidden_layers", None),
        ("num_hidden_layers", True),
        ("hidden_size", "64"),
        ("hidden_size", 65),
        ("head_dim", 7),
        ("num_key_value_heads", 3),
        ("rms_norm_eps", -1),
        ("vocab_size", 1.5),
        ("eos_token_id", "</s>"),
    ],
)
def test_what_we_do_not_compute_is_refused_by_name(tmp_path: Path, field: str, value: Any) -> None:
    with pytest.raises(BadModel) as caught:
        read(tmp_path, **{field: value})
    named = {"rope_scaling": ("rope", "factor", "mscale")}.get(field, (field,))
    assert any(name in caught.value.message for name in named)
    assert "config.json" in caught.value.message


@pytest.mark.parametrize("field", ["attention_bias", "mlp_bias"])
def test_biases_are_refused_where_the_family_has_none(tmp_path: Path, field: str) -> None:
    with pytest.raises(BadModel, match=field):
        read(tmp_path, architectures=["Qwen2ForCausalLM"], **{field: True})


def test_folder_without_config(tmp_path: Path) -> None:
    with pytest.raises(BadModel, match=r"no config\.json"):
        ModelConfig.read(tmp_path)


@pytest.mark.parametrize(("text", "tells"), [("{", "not JSON"), ("[]", "not a JSON object")])
def test_config_that_is_not_an_object(tmp_path: Path, text: str, tells: str) -> None:
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(BadModel, match=tells):
        ModelConfig.read(tmp_path)
