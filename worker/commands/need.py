"""How much memory a worker will map for a model, told before it starts.

Weights and cache are exact, since they are counted from the very shapes that the worker allocates.
The rest is a model of what was measured (docs/log.md); a test holds the sum to 10 % of a worker's
own figure.
"""

from dataclasses import dataclass

import torch

from worker.kernels.lowbit import Format
from worker.model.cache import cache_dtype, page_bytes
from worker.model.config import ModelConfig
from worker.model.parameters import allocate, places
from worker.settings import WorkerSettings

RUNTIME_BYTES = 720 * 2**20
"""Interpreter, libraries, stacks, compiled kernels and heaps of a worker under load, with PyTorch's
build for CPUs, as enclaves have it: the one with CUDA maps 2.4 GiB more."""

ENTRY_BYTES = 1600
"""Tokenizer and grammar tables, for each entry of the vocabulary."""


@dataclass(frozen=True, slots=True)
class Need:
    """What a worker maps, in bytes. `token_bytes` is the cache of one token over all layers."""

    weights: int
    cache: int
    activations: int
    runtime: int
    token_bytes: int

    @property
    def total(self) -> int:
        return self.weights + self.cache + self.activations + self.runtime

    @property
    def without_cache(self) -> int:
        return self.total - self.cache

    def sequences(self, budget_bytes: int, tokens: int) -> int:
        """How many sequences of so many tokens fit into a budget, beside all else."""
        room = budget_bytes - self.without_cache
        return max(0, room // (self.token_bytes * tokens))


def need(
    config: ModelConfig, dtype: torch.dtype, settings: WorkerSettings, form: Format | None = None
) -> Need:
    """The need of a worker with these settings, and matrices of low-bit `form`, if given."""
    kept = cache_dtype(settings.kv_cache_dtype, dtype)
    page = page_bytes(config, settings.page_size, kept)
    pages = settings.cache_pages or settings.cache_mb * 2**20 // page
    return Need(
        weights=weights_bytes(config, dtype, form),
        cache=pages * page,
        activations=_activations(config, dtype, settings.step_tokens, settings.sequences),
        runtime=RUNTIME_BYTES + ENTRY_BYTES * config.vocabulary_size,
        token_bytes=page // settings.page_size,
    )


def weights_bytes(config: ModelConfig, dtype: torch.dtype, form: Format | None = None) -> int:
    """Bytes of all weights, counted on tensors that have a shape and no memory."""
    with torch.device("meta"):
        return sum(place.nbytes for place in places(config, allocate(config, dtype, form)).values())


def _activations(config: ModelConfig, dtype: torch.dtype, rows: int, sequences: int) -> int:
    """The most that lives at once within a step: a layer's widest moment, or the logits.

    At gate-up the residual, its norm, gate and up in one, and their product live together. The
    head's logits live in the model's type, as float32, and once more where they are filtered.
    """
    wide = 2 * config.hidden + 3 * config.intermediate
    layer = rows * wide * dtype.itemsize
    logits = sequences * config.vocabulary_size * (dtype.itemsize + 2 * torch.float32.itemsize)
    return max(layer, logits)
