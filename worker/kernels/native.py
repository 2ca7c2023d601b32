"""The compiled kernels on tensors: every input is checked here, for C++ checks nothing."""

import ctypes
import logging
from array import array
from collections.abc import Sequence
from itertools import chain
from typing import Protocol

import torch
from torch import Tensor

from cloister.errors import BadSettings
from worker.kernels.draw import MOST_WORDS, Rule, not_finite
from worker.kernels.library import Draw, Library, Matrix, NoLibrary, Product, Rows
from worker.kernels.packed import PANEL, SCALES_BYTES, Packed
from worker.kernels.twins import Twins

log = logging.getLogger(__name__)

TYPES = {torch.float32: 0, torch.bfloat16: 1}
SPINS = 1000  # looks of an idle helper before it parks, some tens of microseconds
MOST_GROUP = 256


class Kernels(Protocol):
    """Low-bit weights and sampling, compiled or in PyTorch; twins.py says what is computed."""

    name: str

    def multiply(self, matrix: Packed, x: Tensor, bias: Tensor | None = None) -> Tensor: ...

    def look_up(self, matrix: Packed, indices: Tensor) -> Tensor: ...

    def draw(self, logits: Tensor, rules: Sequence[Rule]) -> list[int]: ...

    def close(self) -> None: ...


def find_kernels(threads: int = 1, *, required: bool = False) -> Kernels:
    """The best kernels of this machine; PyTorch's, with a warning, where none were compiled.

    Raises `BadSettings` in their place if compiled ones are `required`.
    """
    try:
        return Native(Library(), threads=threads)
    except NoLibrary as reason:
        if required:
            raise BadSettings(f"kernels = 'native': {reason}") from None
        log.warning("the kernels run in PyTorch, which is slow: %s", reason)
        return Twins()


class Native:
    """One variant of the compiled kernels, with `threads` in all; satisfies `Kernels`."""

    def __init__(
        self, library: Library, variant: str | None = None, *, threads: int = 1, spins: int = SPINS
    ) -> None:
        here = library.variants()
        self.name = next(iter(here)) if variant is None else variant
        self._variant = here[self.name]
        self._library = library
        self._helpers = threads - 1
        library.help_out(self._helpers, spins)

    def multiply(self, matrix: Packed, x: Tensor, bias: Tensor | None = None) -> Tensor:
        _check_rows(matrix, x, bias)
        groups = matrix.form.groups(matrix.inputs)
        out = torch.empty(len(x), matrix.outputs, dtype=x.dtype)
        values = torch.empty(len(x), groups * matrix.form.group, dtype=torch.int8)
        scales = torch.empty(2, len(x), groups)  # the second half is for integers of that size
        product = Product(
            _matrix(matrix),
            Rows(x.data_ptr(), x.stride(0), TYPES[x.dtype]),
            Rows(out.data_ptr(), out.stride(0), TYPES[out.dtype]),
            None if bias is None else bias.data_ptr(),
            len(x),
            values.data_ptr(),
            scales.data_ptr(),
            scales[1].data_ptr(),
        )
        self._library.multiply(self._variant, ctypes.byref(product))
        return out

    def look_up(self, matrix: Packed, indices: Tensor) -> Tensor:
        if matrix.dtype not in TYPES:
            raise ValueError(f"dtype is {matrix.dtype}; float32 or bfloat16 expected")
        if indices.dtype != torch.int64 or indices.dim() != 1 or not indices.is_contiguous():
            raise ValueError("indices must be a contiguous int64 vector")
        if len(indices) and not 0 <= int(indices.min()) <= int(indices.max()) < matrix.outputs:
            raise IndexError(f"indices must be below {matrix.outputs}")
        out = torch.empty(len(indices), matrix.inputs, dtype=matrix.dtype)
        rows = Rows(out.data_ptr(), out.stride(0), TYPES[matrix.dtype])
        of = _matrix(matrix)
        self._library.look_up(
            ctypes.byref(of), indices.data_ptr(), len(indices), ctypes.byref(rows)
        )
        return out

    def draw(self, logits: Tensor, rules: Sequence[Rule]) -> list[int]:
        _check_logits(logits, rules)
        own = array("d", chain.from_iterable(rules))
        ids = array("q", bytes(8 * len(rules)))
        places = (own.buffer_info()[0], ids.buffer_info()[0])
        job = Draw(logits.data_ptr(), logits.stride(0), *logits.shape, *places)
        self._library.draw(self._variant, ctypes.byref(job))
        if -1 in ids:
            raise not_finite()
        return ids.tolist()

    def close(self) -> None:
        """Let the helpers end; the caller computes alone from now on."""
        self._library.dismiss(self._helpers)
        self._helpers = 0


def _matrix(packed: Packed) -> Matrix:
    """A matrix for C++, or `ValueError`."""
    panels, form = packed.panels, packed.form
    shape = (
        -(-packed.outputs // PANEL),
        form.groups(packed.inputs),
        SCALES_BYTES + PANEL * form.group_bytes,
    )
    if panels.dtype != torch.uint8 or panels.shape != shape or not panels.is_contiguous():
        raise ValueError(f"panels must be contiguous uint8 {list(shape)}")
    if form.bits not in (4, 8) or form.group % 8 or not 0 < form.group <= MOST_GROUP:
        raise ValueError(f"{form} is unknown: 4 or 8 bits, groups of 8 to {MOST_GROUP}")
    return Matrix(panels.data_ptr(), packed.inputs, packed.outputs, form.bits, form.group)


def _check_rows(matrix: Packed, x: Tensor, bias: Tensor | None) -> None:
    if x.dtype not in TYPES or x.dim() != 2 or x.shape[1] != matrix.inputs:
        raise ValueError(f"rows must be float32 or bfloat16 [rows, {matrix.inputs}]")
    if (x.stride(1) != 1 and matrix.inputs > 1) or x.device.type != "cpu":
        raise ValueError("rows must be unbroken, on the CPU")
    if bias is None:
        return
    if bias.dtype != x.dtype or bias.shape != (matrix.outputs,) or not bias.is_contiguous():
        raise ValueError(f"bias must be contiguous {x.dtype} [{matrix.outputs}]")


def _check_logits(logits: Tensor, rules: Sequence[Rule]) -> None:
    if logits.dtype != torch.float32 or logits.dim() != 2 or len(logits) != len(rules):
        raise ValueError(f"logits must be float32 [{len(rules)}, vocabulary]")
    words = logits.shape[1]
    if not 0 < words <= MOST_WORDS or (logits.stride(1) != 1 and words > 1):
        raise ValueError(f"rows of logits must be unbroken, of 1 to {MOST_WORDS} words")
