"""The tensors that hold keys and values, in pages. Who owns which page is the engine's business."""

from collections.abc import Sequence
from math import prod

import numpy as np
import torch
from torch import Tensor

from worker.model.config import ModelConfig

DEFAULT_PAGE_SIZE = 16


class Cache:
    """Keys and values of all layers.

    A layer is one tensor `[pages, page_size, 2, kv_heads, head_dim]`: a token's key and value stand
    together, so that writing a step's rows and gathering a sequence's pages are one operation each.
    It starts as zeros: attention masks what it must not see by weight 0, and 0 * NaN is NaN. They
    are the system's, so that a page takes memory from when it is first written.
    """

    def __init__(
        self,
        kv_heads: Sequence[int],
        head_dim: int,
        *,
        page_count: int,
        page_size: int,
        dtype: torch.dtype,
    ) -> None:
        self.page_count = page_count
        self.page_size = page_size
        self.layers: tuple[Tensor, ...] = tuple(
            _untouched(dtype, page_count, page_size, 2, count, head_dim) for count in kv_heads
        )

    def write(self, layer: int, slots: Tensor, keys_and_values: Tensor) -> None:
        """Put rows `[rows, 2, kv_heads, head_dim]` at `slots` [rows]: page * page_size + offset."""
        self.layers[layer].flatten(0, 1).index_copy_(0, slots, keys_and_values)

    def gather(self, layer: int, pages: Tensor) -> Tensor:
        """Copy pages `[count]` out, as `[count, page_size, 2, kv_heads, head_dim]`."""
        return self.layers[layer].index_select(0, pages)


def _untouched(dtype: torch.dtype, *shape: int) -> Tensor:
    """Zeros that nobody has written: `torch.zeros` writes them."""
    return (
        torch.from_numpy(np.zeros(prod(shape) * dtype.itemsize, np.uint8)).view(dtype).view(shape)
    )


def page_bytes(config: ModelConfig, page_size: int, dtype: torch.dtype) -> int:
    """Bytes of one page over all layers."""
    return config.layers * page_size * 2 * config.kv_heads * config.head_dim * dtype.itemsize
