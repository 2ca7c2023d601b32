"""Writes a named shape with random weights as an ordinary Hugging Face folder, tokenizer included.

Each peer converts this one folder, so all of them compute the same model over the same tokens.
"""

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import Tensor

from worker.model.config import ModelConfig
from worker.model.parameters import places
from worker.model.shapes import random_weights, shape
from worker.model.shards import write_shard

SHAPES: Mapping[str, str] = MappingProxyType({"1b": "llama-3.2-1b", "tiny": "small-5m"})

BEGIN, END = "<|begin_of_text|>", "<|eot_id|>"
SPECIAL = (BEGIN, "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>", END)
TEXTS = ("argparse", "datetime", "inspect", "pydoc", "socket", "tarfile", "typing", "zipfile")
"""Modules of Python's library from whose words the tokenizer is learned."""

LEARNED = 8_000
TEMPLATE = (
    "{{ '<|begin_of_text|>' }}{% for message in messages %}"
    "{{ '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n' }}"
    "{{ message['content'] + '<|eot_id|>' }}{% endfor %}"
    "{% if add_generation_prompt %}"
    "{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}"
)


def write_checkpoint(folder: Path, name: str, advance: Callable[[int], None]) -> None:
    """Write the shape called `name` to a new folder; `advance` hears the bytes written."""
    config = shape(SHAPES[name])
    folder.mkdir(parents=True)
    words = _vocabulary(config.vocabulary_size)
    _write(folder / "tokenizer.json", words)
    _write(folder / "tokenizer_config.json", _tokenizer_config(config))
    write_config(folder, config)
    places_of = places(config, random_weights(config, torch.bfloat16))
    weights = {name: place for name, place in places_of.items() if isinstance(place, Tensor)}
    write_shard(folder / "model.safetensors", weights, weights.values(), advance)


def write_config(folder: Path, config: ModelConfig) -> None:
    """Write what a loader must know of the shape."""
    _write(folder / "config.json", _model_config(config))
    _write(folder / "generation_config.json", _ends(config))


def _vocabulary(size: int) -> dict[str, Any]:
    """Byte-level BPE of up to `LEARNED` words, then up to `size` words that no text has."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=min(LEARNED, size - len(SPECIAL)),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    library = Path(os.__file__).parent
    tokenizer.train([str(library / f"{name}.py") for name in TEXTS], trainer)
    saved: dict[str, Any] = json.loads(tokenizer.to_str())
    words = saved["model"]["vocab"]
    first = size - len(SPECIAL)
    words.update((f"<|unused{id}|>", id) for id in range(len(words), first))
    for id, content in enumerate(SPECIAL, first):
        words[content] = id
        saved["added_tokens"].append(_added(id, content))
    return saved


def _added(id: int, content: str) -> dict[str, Any]:
    off = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    return {"id": id, "content": content, "special": True, **off}


def _tokenizer_config(config: ModelConfig) -> dict[str, Any]:
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": BEGIN,
        "eos_token": END,
        "chat_template": TEMPLATE,
        "clean_up_tokenization_spaces": False,
        "model_max_length": config.context_length,
    }


def _ends(config: ModelConfig) -> dict[str, Any]:
    first = config.vocabulary_size - len(SPECIAL)
    return {
        "bos_token_id": first + SPECIAL.index(BEGIN),
        "eos_token_id": first + SPECIAL.index(END),
    }


def _model_config(config: ModelConfig) -> dict[str, Any]:
    return {
        "architectures": [config.family],
        "model_type": "llama",
        "vocab_size": config.vocabulary_size,
        "hidden_size": config.hidden,
        "intermediate_size": config.intermediate,
        "num_hidden_layers": config.layers,
        "num_attention_heads": config.heads,
        "num_key_value_heads": config.kv_heads,
        "head_dim": config.head_dim,
        "hidden_act": "silu",
        "max_position_embeddings": config.context_length,
        "rms_norm_eps": config.norm_epsilon,
        "attention_bias": False,
        "mlp_bias": False,
        "tie_word_embeddings": config.tied_head,
        "torch_dtype": "bfloat16",
        **_rope(config),
        **_ends(config),
    }


def _rope(config: ModelConfig) -> dict[str, Any]:
    rope = config.rope
    if rope.kind != "llama3":
        return {"rope_theta": rope.theta}
    scaling = {
        "rope_type": "llama3",
        "factor": rope.factor,
        "original_max_position_embeddings": rope.original_context,
        "low_freq_factor": rope.slow,
        "high_freq_factor": rope.fast,
    }
    return {"rope_theta": rope.theta, "rope_scaling": scaling}


def _write(path: Path, value: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
