"""The tensors that hold keys and values, in pages. Who owns which page is the engine's business."""

from dataclasses import dataclass

import torch
from torch import Tensor

from cloister.errors import BadSettings
from worker.kernels.attention import UNIT_BYTES, allocate_pages
from worker.model.config import ModelConfig

DEFAULT_PAGE_SIZE = 16


@dataclass(frozen=True, slots=True)
class Cache:
    """Makes the tensors, one a layer. Raises `BadSettings`."""

    page_count: int
    page_size: int
    head_dim: int
    dtype: torch.dtype

    def __post_init__(self) -> None:
        if self.page_size % (UNIT_BYTES // self.dtype.itemsize):
            raise BadSettings(f"page_size = {self.page_size}: with {self.dtype} it must be even")

    def layer(self, key_heads: int) -> Tensor:
        """Keys and values of one layer, all zero."""
        shape = (self.page_count, self.page_size, key_heads, self.head_dim)
        return allocate_pages(*shape, self.dtype)


def page_bytes(config: ModelConfig, page_size: int, dtype: torch.dtype) -> int:
    """Bytes of one page over all layers."""
    return config.layers * page_size * 2 * config.kv_heads * config.head_dim * dtype.itemsize
