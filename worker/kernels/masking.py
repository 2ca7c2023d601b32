"""Masking on arrays, compiled or not: rows to integers under masks, and products back to numbers.

Every input is checked here, for C++ checks nothing. The GPU's product is under a mask until
`reveal`, and what `hide` writes is uniform if its masks are; nothing of either is kept.
"""

import ctypes
import logging
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from cloister.errors import BadSettings
from worker.kernels.library import Library, NoLibrary, Rows
from worker.kernels.masking_twins import MaskingTwins, Sums, Words
from worker.kernels.native import rows_of

log = logging.getLogger(__name__)


class Masking(Protocol):
    """masking_twins.py says what each one computes."""

    name: str

    def space(self, x: Tensor, room: float) -> tuple[Tensor, Tensor]: ...

    def hide(
        self, x: Tensor, factors: Tensor, masks: Words | None, image: Sums | None
    ) -> tuple[Words, Sums]: ...

    def reveal(
        self,
        products: Words,
        masks: Words | None,
        secret: Words | None,
        steps: Tensor,
        scales: Tensor,
        dtype: torch.dtype,
    ) -> tuple[Tensor, Sums]: ...


def find_masking(*, required: bool = False) -> Masking:
    """The best of this machine; the twins, with a warning, where nothing was compiled.

    Raises `BadSettings` in their place if compiled ones are `required`.
    """
    try:
        return NativeMasking(Library())
    except NoLibrary as reason:
        if required:
            raise BadSettings(f"kernels = 'native': {reason}") from None
        log.warning("masks are put on and taken off in PyTorch, which is slow: %s", reason)
        return MaskingTwins()


class Spacing(ctypes.Structure):
    """`Spacing` of src/masking.h."""

    _fields_ = (
        ("input", Rows),
        ("room", ctypes.c_double),
        ("factors", ctypes.c_void_p),
        ("steps", ctypes.c_void_p),
        ("rows", ctypes.c_int64),
        ("columns", ctypes.c_int64),
    )


class Hiding(ctypes.Structure):
    """`Hiding` of src/masking.h."""

    _fields_ = (
        ("input", Rows),
        ("factors", ctypes.c_void_p),
        ("masks", ctypes.c_void_p),
        ("mask_stride", ctypes.c_int64),
        ("image", ctypes.c_void_p),
        ("words", ctypes.c_void_p),
        ("sums", ctypes.c_void_p),
        ("rows", ctypes.c_int64),
        ("columns", ctypes.c_int64),
    )


class Revealing(ctypes.Structure):
    """`Revealing` of src/masking.h."""

    _fields_ = (
        ("products", ctypes.c_void_p),
        ("masks", ctypes.c_void_p),
        ("mask_stride", ctypes.c_int64),
        ("secret", ctypes.c_void_p),
        ("steps", ctypes.c_void_p),
        ("scales", ctypes.c_void_p),
        ("output", Rows),
        ("sums", ctypes.c_void_p),
        ("rows", ctypes.c_int64),
        ("columns", ctypes.c_int64),
    )


class NativeMasking:
    """One variant of the compiled kernels; satisfies `Masking`.

    Threads that a `Native` of the same library has help with its calls too.
    """

    def __init__(self, library: Library, variant: str | None = None) -> None:
        here = library.variants()
        self.name = next(iter(here)) if variant is None else variant
        self._variant = here[self.name]
        self._library = library

    def space(self, x: Tensor, room: float) -> tuple[Tensor, Tensor]:
        rows, columns = x.shape
        x, factors, steps = _unbroken(x), torch.empty(rows), torch.empty(rows)
        job = Spacing(rows_of(x), room, factors.data_ptr(), steps.data_ptr(), rows, columns)
        self._library.space(self._variant, ctypes.byref(job))
        return factors, steps

    def hide(
        self, x: Tensor, factors: Tensor, masks: Words | None, image: Sums | None
    ) -> tuple[Words, Sums]:
        rows, columns = x.shape
        x = _unbroken(x)
        _check(factors, torch.float32, rows)
        words: Words = np.empty((rows, columns), np.uint32)
        if masks is not None and masks.flags.writeable:
            words = masks
        sums = np.zeros(rows, np.uint64)
        job = Hiding(
            rows_of(x),
            factors.data_ptr(),
            *_masks(masks, rows, columns),
            _place(image, np.uint64, columns),
            _place(words, np.uint32, rows, columns),
            _place(sums, np.uint64, rows),
            rows,
            columns,
        )
        self._library.hide(self._variant, ctypes.byref(job))
        return words, sums

    def reveal(
        self,
        products: Words,
        masks: Words | None,
        secret: Words | None,
        steps: Tensor,
        scales: Tensor,
        dtype: torch.dtype,
    ) -> tuple[Tensor, Sums]:
        rows, columns = products.shape
        _check(steps, torch.float32, rows)
        _check(scales, torch.float32, columns)
        y = torch.empty(rows, columns, dtype=dtype)
        sums = np.zeros(rows, np.uint64)
        job = Revealing(
            _place(products, np.uint32, rows, columns),
            *_masks(masks, rows, columns),
            _place(secret, np.uint32, columns),
            steps.data_ptr(),
            scales.data_ptr(),
            rows_of(y),
            _place(sums, np.uint64, rows),
            rows,
            columns,
        )
        self._library.reveal(self._variant, ctypes.byref(job))
        return y, sums


def _unbroken(x: Tensor) -> Tensor:
    return x if x.stride(1) == 1 else x.contiguous()


def _check(vector: Tensor, dtype: torch.dtype, count: int) -> None:
    if vector.dtype != dtype or vector.shape != (count,) or not vector.is_contiguous():
        raise ValueError(f"a contiguous {dtype} vector of {count} is expected")


def _place(array: np.ndarray | None, dtype: type[np.generic], *shape: int) -> int | None:
    """Where an unbroken array lies, or `ValueError`."""
    if array is None:
        return None
    if array.dtype != dtype or array.shape != shape or not array.flags.c_contiguous:
        raise ValueError(f"a contiguous {dtype.__name__} array {list(shape)} is expected")
    return array.ctypes.data


def _masks(masks: Words | None, rows: int, columns: int) -> tuple[int | None, int]:
    """Where masks lie and how far their rows are apart: 0 if one stands for all."""
    if masks is None:
        return None, 0
    if masks.dtype != np.uint32 or masks.shape != (rows, columns):
        raise ValueError(f"masks must be uint32 {[rows, columns]}")
    if columns > 1 and masks.strides[1] != masks.itemsize:
        raise ValueError("masks must be unbroken rows")
    return masks.ctypes.data, masks.strides[0] // masks.itemsize
