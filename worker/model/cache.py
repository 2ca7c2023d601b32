"""The tensors that hold keys and values, in pages. Who owns which page is the engine's business."""

from collections.abc import Mapping
from functools import partial
from types import MappingProxyType
from typing import Literal

import torch
from torch import Tensor

from cloister.errors import BadSettings
from worker.kernels.pages import PER, allocate_pages, token_numbers
from worker.model.config import ModelConfig

DEFAULT_PAGE_SIZE = 16

CacheType = Literal["auto", "bfloat16", "int8"]
"""The worker's setting `kv_cache_dtype`; `auto` is the type of the weights."""

CACHE_TYPES: Mapping[CacheType, torch.dtype] = MappingProxyType(
    {"bfloat16": torch.bfloat16, "int8": torch.int8}
)


class Cache:
    """Keys and values of the layers that were added, in the form that kernels read in place."""

    def __init__(
        self, *, page_count: int, page_size: int, head_dim: int, dtype: torch.dtype
    ) -> None:
        """Raises `BadSettings`."""
        if page_size % PER[dtype] or head_dim % PER[dtype]:
            raise BadSettings(
                f"page_size = {page_size}, heads of {head_dim}: a cache of {name_of(dtype)} needs "
                f"multiples of {PER[dtype]}"
            )
        self.layers: list[Tensor] = []
        self._allocate = partial(allocate_pages, page_count, page_size, dim=head_dim, dtype=dtype)

    def add(self, key_heads: int) -> Tensor:
        """One more layer's pages, all zero."""
        self.layers.append(self._allocate(key_heads=key_heads))
        return self.layers[-1]


def page_bytes(config: ModelConfig, page_size: int, dtype: torch.dtype) -> int:
    """Bytes of one page over all layers."""
    numbers = token_numbers(config.head_dim, dtype)
    return config.layers * config.kv_heads * page_size * numbers * dtype.itemsize


def cache_dtype(kind: CacheType, weights: torch.dtype) -> torch.dtype:
    """The type of keys and values beside weights of a type."""
    return weights if kind == "auto" else CACHE_TYPES[kind]


def name_of(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
