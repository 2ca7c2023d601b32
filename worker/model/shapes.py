"""Well-known shapes with random weights, for benchmarks and tests; no text comes out of them."""

from collections.abc import Mapping
from types import MappingProxyType

import torch
from torch import Tensor

from cloister.errors import BadModel
from worker.kernels.lowbit import Format
from worker.kernels.packed import PackedRows
from worker.model.config import ModelConfig
from worker.model.parameters import ModelWeights, allocate, places
from worker.model.rope_config import RopeConfig

POOL = (1 << 20) + 7  # odd, so that copies in neighbouring tensors do not line up
SPREAD = 0.02  # the usual initial standard deviation

SHAPES: Mapping[str, ModelConfig] = MappingProxyType(
    {
        "llama-3.2-1b": ModelConfig(
            family="LlamaForCausalLM",
            layers=16,
            hidden=2048,
            heads=32,
            kv_heads=8,
            head_dim=64,
            intermediate=8192,
            vocabulary_size=128256,
            context_length=131072,
            norm_epsilon=1e-5,
            rope=RopeConfig("llama3", 500000.0, 32.0, 8192, slow=1.0, fast=4.0),
            windows=(None,) * 16,
            tied_head=True,
        ),
        "small-5m": ModelConfig(
            family="LlamaForCausalLM",
            layers=6,
            hidden=256,
            heads=4,
            kv_heads=2,
            head_dim=64,
            intermediate=704,
            vocabulary_size=2048,
            context_length=4096,
            norm_epsilon=1e-6,
            rope=RopeConfig(),
            windows=(None,) * 6,
            tied_head=True,
        ),
    }
)


def shape(name: str) -> ModelConfig:
    """The config of a named shape."""
    if name not in SHAPES:
        raise BadModel(f"unknown shape {name!r}; known are {', '.join(SHAPES)}")
    return SHAPES[name]


def random_weights(
    config: ModelConfig, dtype: torch.dtype, seed: int = 0, form: Format | None = None
) -> ModelWeights:
    """Weights of a shape, the same for the same seed: normal, norms 1, biases like weights.

    Made by repeating one pool of random numbers, since drawing a billion takes a minute.
    """
    weights = allocate(config, dtype, form)
    generator = torch.Generator().manual_seed(seed)
    pool = torch.randn(POOL, generator=generator).mul_(SPREAD).to(dtype)
    shift = 0
    for name, place in places(config, weights).items():
        numbers = torch.empty(place.shape, dtype=dtype) if isinstance(place, PackedRows) else place
        if name.endswith("norm.weight"):
            numbers.fill_(1)
            continue
        _repeat(pool.roll(-shift), numbers.view(-1))
        shift = (shift + numbers.numel()) % POOL
        if isinstance(place, PackedRows):
            place.round(0, numbers)
    return weights


def _repeat(pool: Tensor, flat: Tensor) -> None:
    for start in range(0, len(flat), len(pool)):
        chunk = flat[start : start + len(pool)]
        chunk.copy_(pool[: len(chunk)])
