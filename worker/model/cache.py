"""The tensors that hold keys and values, in pages. Who owns which page is the engine's business."""

from functools import partial

import torch
from torch import Tensor

from cloister.errors import BadSettings
from worker.kernels.attention import UNIT_BYTES, allocate_pages
from worker.model.config import ModelConfig

DEFAULT_PAGE_SIZE = 16


class Cache:
    """Keys and values of the layers that were added, in the form that kernels read in place."""

    def __init__(
        self, *, page_count: int, page_size: int, head_dim: int, dtype: torch.dtype
    ) -> None:
        """Raises `BadSettings`."""
        if page_size % (UNIT_BYTES // dtype.itemsize):
            raise BadSettings(f"page_size = {page_size}: with {dtype} it must be even")
        self.layers: list[Tensor] = []
        self._allocate = partial(allocate_pages, page_count, page_size, dim=head_dim, dtype=dtype)

    def add(self, key_heads: int) -> Tensor:
        """One more layer's pages, all zero."""
        self.layers.append(self._allocate(key_heads=key_heads))
        return self.layers[-1]


def page_bytes(config: ModelConfig, page_size: int, dtype: torch.dtype) -> int:
    """Bytes of one page over all layers."""
    return config.layers * page_size * 2 * config.kv_heads * config.head_dim * dtype.itemsize
