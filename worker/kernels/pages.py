"""The form of pages of keys and values, and how PyTorch writes and reads them."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

PER = {torch.float32: 1, torch.bfloat16: 2, torch.int8: 4}
"""Numbers of a unit of four bytes, for each type that pages can have."""

ORDERS = {1: (0,), 2: (0, 1), 4: (0, 2, 1, 3)}
"""Where each of a unit's numbers stands."""

LINE_BYTES = 64  # of the processor's caches: vectors that begin with one are read at once
SCALE = torch.bfloat16
LARGEST = 127
SMALLEST = 1e-30  # what is smaller all over a head counts as zeros


def token_numbers(dim: int, dtype: torch.dtype) -> int:
    """Numbers that a page has for a token and a key head: key and value, and scales of int8."""
    return 2 * (dim + (SCALE.itemsize if dtype == torch.int8 else 0))


def allocate_pages(count: int, size: int, key_heads: int, dim: int, dtype: torch.dtype) -> Tensor:
    """Pages of one layer, `[count, key_heads, size * token_numbers]`: a head's keys, then values.

    Numbers that are multiplied by neighbours form units of four bytes, of `per` numbers: keys are
    `[dim / per, size, per]`, values `[size / per, dim, per]`. So vectors of either are read whole.
    Behind values of int8 stand bfloat16 scales of keys [size] and of values [size].
    Zeros are the system's: a page takes memory from when it is first written. `torch.zeros` writes.
    """
    numbers = size * token_numbers(dim, dtype)
    size_bytes = count * key_heads * numbers * dtype.itemsize
    plain = np.zeros(size_bytes + LINE_BYTES, np.uint8)
    first = -plain.ctypes.data % LINE_BYTES
    plain = plain[first : first + size_bytes]
    return torch.from_numpy(plain).view(dtype).view(count, key_heads, numbers)


def page_size(pages: Tensor, dim: int) -> int:
    """Tokens of a page. `ValueError` if these are no pages of heads of `dim` numbers."""
    size, rest = divmod(pages.shape[-1], token_numbers(dim, pages.dtype))
    per = PER[pages.dtype]
    if rest or size % per or dim % per:
        raise ValueError(
            f"pages must hold heads of {dim}, numbers and tokens in multiples of {per}"
        )
    return size


class Pages:
    """Keys and values of one layer, written and read as PyTorch can."""

    def __init__(self, pages: Tensor, dim: int) -> None:
        self.size, self._dtype = page_size(pages, dim), pages.dtype
        size, per, shape = self.size, PER[pages.dtype], pages.shape[:2]
        numbers, scales = pages[..., : 2 * size * dim], pages[..., 2 * size * dim :]
        keys, values = numbers.view(*shape, 2, size * dim).unbind(2)
        self._order = torch.tensor(ORDERS[per])
        self._keys = keys.view(*shape, dim // per, size, per)
        self._values = values.view(*shape, size // per, dim, per)
        self._scales = (
            scales.view(SCALE).view(*shape, 2, size) if pages.dtype == torch.int8 else None
        )

    def write(self, page: Tensor, offset: Tensor, key: Tensor, value: Tensor) -> None:
        """Put keys and values `[rows, key_heads, dim]` to their pages [rows] and offsets [rows]."""
        heads, dim, per = *key.shape[1:], len(self._order)
        if self._scales is not None:
            key, key_scale = rounded(key)
            value, value_scale = rounded(value)
            self._scales[page, :, :, offset] = torch.stack((key_scale, value_scale), -1)
        units = key.to(self._dtype).view(-1, heads, dim // per, per)[..., self._order]
        self._keys[page, :, :, offset] = units  # [rows, key_heads, dim / per, per]
        place = self._order[offset % per]
        self._values[page, :, offset // per, :, place] = value.to(self._dtype)

    def read(self, pages: Sequence[int], count: int) -> tuple[Tensor, Tensor]:
        """Keys `[key_heads, dim, count]` and values `[key_heads, count, dim]`, float32."""
        own = torch.tensor(pages, dtype=torch.int64)
        keys, values = self._keys[own][..., self._order], self._values[own][..., self._order]
        key = keys.permute(1, 2, 4, 0, 3).flatten(3).flatten(1, 2)  # [key_heads, dim, keys]
        value = values.permute(1, 0, 2, 4, 3).flatten(1, 3)  # [key_heads, keys, dim]
        key, value = key[..., :count].float(), value[:, :count].float()
        if self._scales is None:
            return key, value
        scales = self._scales[own].permute(1, 2, 0, 3).flatten(2)[..., :count].float()
        return key * scales[:, :1], value * scales[:, 1].unsqueeze(-1)


def rounded(x: Tensor) -> tuple[Tensor, Tensor]:
    """Heads `[..., dim]` as integers in [-127, 127], float32, and scales `[...]` of bfloat16.

    The scale is rounded before the integers are. A head that is not finite becomes zeros with a
    scale of NaN.
    """
    largest = x.abs().amax(-1)
    finite, counts = largest.isfinite(), largest.isfinite() & (largest >= SMALLEST)
    scale = torch.where(counts, largest / LARGEST, 0.0).to(SCALE)
    inverse = torch.where(counts, 1 / scale.float(), 0.0).unsqueeze(-1)
    codes = torch.where(counts.unsqueeze(-1), x * inverse, 0.0).round_()
    return codes, torch.where(finite, scale, float("nan"))
