"""Builds a decoder: from a model folder, or of a named shape with random weights."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Literal

import torch

from cloister.errors import BadModel, BadSettings
from worker.execution.seam import Execution
from worker.kernels.lowbit import INT4, INT8, Format
from worker.kernels.native import Kernels
from worker.kernels.twins import Twins
from worker.model.cache import DEFAULT_PAGE_SIZE, CacheType, cache_dtype, page_bytes
from worker.model.config import ModelConfig
from worker.model.decoder import Decoder
from worker.model.parameters import ModelWeights
from worker.model.shapes import random_weights, shape
from worker.model.weights import WeightType, read_weights, stored_type

LowBit = Literal["stored", "none"] | Format
"""Matrices as they are stored, as floats alone, or rounded when they are loaded."""

LOW_BITS: Mapping[str, LowBit] = MappingProxyType({"bf16": "none", "int8": INT8, "int4": INT4})
"""The worker's setting `weights`, but for `auto`."""


def load_model(
    folder: Path,
    *,
    execution: Execution,
    kernels: Kernels | None = None,
    dtype: WeightType = "auto",
    page_size: int = DEFAULT_PAGE_SIZE,
    page_count: int | None = None,
    cache_bytes: int | None = None,
    kv_cache_dtype: CacheType = "auto",
    embeds: bool = False,
    low_bit: LowBit = "stored",
) -> Decoder:
    """Load a folder. `kernels` compute attention: PyTorch's, if not given.

    The cache is given in pages or in bytes. Raises `BadModel`, `BadSettings`.
    """
    config = ModelConfig.read(folder)
    if embeds:
        config = replace(config, tied_head=True)  # no head is read: none is used
    form = form_of(folder, config, low_bit)
    weights = read_weights(
        folder, config, dtype, form or packed(stored_type(folder, dtype), execution)
    )
    size = (page_size, page_count, cache_bytes, kv_cache_dtype)
    return build(config, weights, execution, kernels, *size, embeds=embeds)


def packed(dtype: torch.dtype, execution: Execution) -> Format | None:
    """The form of matrices that are not in low bits: packed where the execution asks for it."""
    return execution.bfloats if dtype == torch.bfloat16 else None


def form_of(folder: Path, config: ModelConfig, low_bit: LowBit) -> Format | None:
    """The low bits that matrices shall have in memory. `BadModel` if stored ones have others."""
    wanted = None if low_bit == "none" else config.low_bit if low_bit == "stored" else low_bit
    if config.low_bit is not None and config.low_bit != wanted:
        raise BadModel(f"{folder} holds int{config.low_bit.bits} weights, which stay as they are")
    return wanted


def random_model(
    name: str,
    *,
    execution: Execution,
    kernels: Kernels | None = None,
    dtype: torch.dtype = torch.bfloat16,
    page_size: int = DEFAULT_PAGE_SIZE,
    page_count: int | None = None,
    cache_bytes: int | None = None,
    kv_cache_dtype: CacheType = "auto",
    seed: int = 0,
    form: Format | None = None,
) -> Decoder:
    """A decoder of a named shape with seeded random weights, for benchmarks."""
    config = shape(name)
    weights = random_weights(config, dtype, seed, form or packed(dtype, execution))
    size = (page_size, page_count, cache_bytes, kv_cache_dtype)
    return build(config, weights, execution, kernels, *size)


def build(
    config: ModelConfig,
    weights: ModelWeights,
    execution: Execution,
    kernels: Kernels | None,
    page_size: int,
    page_count: int | None,
    cache_bytes: int | None,
    kv_cache_dtype: CacheType = "auto",
    *,
    embeds: bool = False,
) -> Decoder:
    """Put a decoder together from weights that are in memory."""
    kept = cache_dtype(kv_cache_dtype, weights.dtype)
    count = _page_count(page_bytes(config, page_size, kept), page_count, cache_bytes)
    return Decoder(
        config,
        weights,
        execution,
        kernels or Twins(),
        page_size=page_size,
        page_count=count,
        cache_dtype=kept,
        embeds=embeds,
    )


def _page_count(each_bytes: int, page_count: int | None, cache_bytes: int | None) -> int:
    if (page_count is None) == (cache_bytes is None):
        raise BadSettings("the cache size is given either as page_count or as cache_bytes")
    if cache_bytes is not None:
        page_count = cache_bytes // each_bytes
    if not page_count or page_count < 1:
        raise BadSettings(f"the cache is too small: one page takes {each_bytes} bytes")
    return page_count
