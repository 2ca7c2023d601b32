"""The compiled attention on tensors: every input is checked here, for C++ checks nothing."""

import ctypes

import torch
from torch import Tensor

from worker.kernels import library
from worker.kernels.attention import Heads, Places
from worker.kernels.pages import page_size

ROW_TYPES = {torch.float32: 0, torch.bfloat16: 1}
PAGE_TYPES = {**ROW_TYPES, torch.int8: 2}
MOST_DIM = 256  # MOST_HEAD_DIM of src/attention.h


class AttentionNative:
    """One layer's; satisfies `Attention`. Raises `ValueError`."""

    def __init__(
        self, functions: library.Library, variant: int, heads: Heads, pages: Tensor
    ) -> None:
        _check(heads, pages)
        self._attend = functions.attend
        self._variant = variant
        self._width = heads.width
        self._out_width = heads.query * heads.dim
        self._half = heads.dim // 2
        self._page_count, self._page_size = len(pages), page_size(pages, heads.dim)
        self._kept = (pages, heads.norms)  # whose memory the structure names
        self._heads = library.Heads(
            pages.data_ptr(),
            None if heads.norms is None else heads.norms.data_ptr(),
            heads.window or 0,
            PAGE_TYPES[pages.dtype],
            heads.query,
            heads.key,
            heads.dim,
            self._page_size,
            heads.epsilon,
        )
        self._pointer = ctypes.byref(self._heads)

    def __call__(self, qkv: Tensor, places: Places) -> Tensor:
        if qkv.shape != (places.rows, self._width) or qkv.dtype not in ROW_TYPES:
            raise ValueError(f"rows must be float32 or bfloat16 [{places.rows}, {self._width}]")
        if not qkv.is_contiguous() or places.half != self._half:
            raise ValueError(f"rows must be contiguous, a rotation [rows, {self._half}]")
        if places.page_size != self._page_size or places.most_page >= self._page_count:
            raise ValueError(f"pages must be of {self._page_size}, below {self._page_count}")
        out = torch.empty(places.rows, self._out_width, dtype=qkv.dtype)
        rows = (qkv.data_ptr(), out.data_ptr(), ROW_TYPES[qkv.dtype])
        self._attend(self._variant, self._pointer, places.pointer, *rows)
        return out


def _check(heads: Heads, pages: Tensor) -> None:
    if pages.dtype not in PAGE_TYPES or not pages.is_contiguous() or pages.dim() != 3:
        raise ValueError("pages must be contiguous float32, bfloat16 or int8")
    if heads.dim % 2 or not 0 < heads.dim <= MOST_DIM:
        raise ValueError(f"{heads.dim} numbers a head: must be even, at most {MOST_DIM}")
    if heads.query % heads.key:
        raise ValueError(f"{heads.key} key heads are not shared evenly by {heads.query}")
    if pages.shape[1] != heads.key:
        raise ValueError(f"pages must be [count, {heads.key}, numbers]")
    norms = heads.norms
    if norms is not None and (
        norms.dtype != torch.float32 or norms.shape != (2, heads.dim) or not norms.is_contiguous()
    ):
        raise ValueError(f"norms must be contiguous float32 [2, {heads.dim}]")
