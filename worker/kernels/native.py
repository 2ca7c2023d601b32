"""The compiled kernels on tensors: every input is checked here, for C++ checks nothing."""

import ctypes
import logging
from array import array
from collections.abc import Callable, Sequence
from itertools import chain
from typing import Protocol

import torch
from torch import Tensor

from cloister.errors import BadSettings
from worker.kernels.attention import Attention, Heads
from worker.kernels.attention_native import AttentionNative
from worker.kernels.draw import MOST_WORDS, Masks, Rule, check_masks, not_finite
from worker.kernels.library import Draw, Library, Linear, Matrix, NoLibrary, Rows
from worker.kernels.lowbit import BF16, Format
from worker.kernels.packed import PANEL, Fused, Packed
from worker.kernels.twins import Twins

log = logging.getLogger(__name__)

BROKEN = -1  # in place of an id, where a row is not finite

TYPES = {torch.float32: 0, torch.bfloat16: 1}
SPINS = 3000  # looks of a waiting thread before it parks, a tenth of a millisecond at most
MOST_GROUP = 256
ROW_GAP = 32  # numbers between rows of bfloat16


class Kernels(Protocol):
    """What a model and its sampling need, compiled or in PyTorch: twins.py says what each is."""

    name: str

    @property
    def bfloats(self) -> Format | None:
        """As what matrices of bfloat16 are multiplied the fastest; None: as they are."""

    def linear(self, fused: Fused) -> Callable[[Tensor], Tensor]: ...

    def look_up(self, matrix: Packed, indices: Tensor) -> Tensor: ...

    def attention(self, heads: Heads, pages: Tensor) -> Attention: ...
    def draw(self, logits: Tensor, rules: Sequence[Rule], masks: Masks = ()) -> list[int]: ...

    def close(self) -> None: ...


def find_kernels(threads: int = 1, *, spins: int = SPINS, required: bool = False) -> Kernels:
    """The best kernels of this machine; PyTorch's, with a warning, where none were compiled.

    Raises `BadSettings` in their place if compiled ones are `required`.
    """
    try:
        return Native(Library(), threads=threads, spins=spins)
    except NoLibrary as reason:
        if required:
            raise BadSettings(f"kernels = 'native': {reason}") from None
        log.warning("the kernels run in PyTorch, which is slow: %s", reason)
        return Twins()


class Native:
    """One variant of the compiled kernels, with `threads` in all; satisfies `Kernels`."""

    bfloats = BF16

    def __init__(
        self, library: Library, variant: str | None = None, *, threads: int = 1, spins: int = SPINS
    ) -> None:
        here = library.variants()
        self.name = next(iter(here)) if variant is None else variant
        self._variant = here[self.name]
        self._library = library
        self._helpers = threads - 1
        library.help_out(self._helpers, spins)

    def linear(self, fused: Fused) -> Callable[[Tensor], Tensor]:
        return NativeLinear(self._library, self._variant, fused)

    def look_up(self, matrix: Packed, indices: Tensor) -> Tensor:
        if matrix.dtype not in TYPES:
            raise ValueError(f"dtype is {matrix.dtype}; float32 or bfloat16 expected")
        if indices.dtype != torch.int64 or indices.dim() != 1 or not indices.is_contiguous():
            raise ValueError("indices must be a contiguous int64 vector")
        if len(indices) and not 0 <= int(indices.min()) <= int(indices.max()) < matrix.outputs:
            raise IndexError(f"indices must be below {matrix.outputs}")
        out = torch.empty(len(indices), matrix.inputs, dtype=matrix.dtype)
        self._library.look_up(_matrix(matrix), indices.data_ptr(), len(indices), rows_of(out))
        return out

    def attention(self, heads: Heads, pages: Tensor) -> Attention:
        return AttentionNative(self._library, self._variant, heads, pages)

    def draw(self, logits: Tensor, rules: Sequence[Rule], masks: Masks = ()) -> list[int]:
        _check_logits(logits, rules)
        own = array("d", chain.from_iterable(rules))
        ids = array("q", bytes(8 * len(rules)))
        check_masks(masks, logits)
        bits = (ctypes.c_char_p * len(masks))(*masks) if masks else None
        places = (own.buffer_info()[0], bits, ids.buffer_info()[0])
        job = Draw(logits.data_ptr(), logits.stride(0), *logits.shape, *places)
        self._library.draw(self._variant, job)
        if BROKEN in ids:
            raise not_finite()
        return ids.tolist()

    def close(self) -> None:
        """Let the helpers end; the caller computes alone from now on."""
        self._library.dismiss(self._helpers)
        self._helpers = 0


class NativeLinear:
    """A linear whose tensors are checked and found once."""

    def __init__(self, library: Library, variant: int, fused: Fused) -> None:
        matrix = fused.matrix
        self._library, self._variant = library, variant
        self._outputs, self._inputs = matrix.outputs, matrix.inputs
        self._row_bytes = _row_bytes(matrix.form, matrix.inputs)
        biases = matrix.outputs * (2 if matrix.gated else 1)
        bias, norm = _vector("bias", fused.bias, biases), _vector("norm", fused.norm, self._inputs)
        self._held = matrix.panels, bias, norm
        pointers = (None if each is None else each.data_ptr() for each in (bias, norm))
        self._linear = Linear(_matrix(matrix), *pointers, fused.epsilon, int(matrix.gated))

    def __call__(self, x: Tensor) -> Tensor:
        _check_rows(x, self._inputs)
        rows = len(x)
        out = torch.empty(rows, self._outputs, dtype=x.dtype)
        scratch = torch.empty(rows * self._row_bytes, dtype=torch.uint8)
        self._library.multiply(
            self._variant, self._linear, rows_of(x), rows_of(out), rows, scratch.data_ptr()
        )
        return out


def _matrix(packed: Packed) -> Matrix:
    """A matrix for C++, or `ValueError`."""
    panels, form = packed.panels, packed.form
    shape = (
        -(-packed.outputs // PANEL) * (2 if packed.gated else 1),
        form.groups(packed.inputs),
        PANEL * (form.scale_bytes + form.group_bytes),
    )
    if panels.dtype != torch.uint8 or panels.shape != shape or not panels.is_contiguous():
        raise ValueError(f"panels must be contiguous uint8 {list(shape)}")
    is_low_bit = form.bits in (4, 8) and form.group % 8 == 0 and 0 < form.group <= MOST_GROUP
    if not (is_low_bit or form == BF16):
        raise ValueError(f"{form} is unknown: 4 or 8 bits, groups of 8 to {MOST_GROUP}, or {BF16}")
    return Matrix(panels.data_ptr(), packed.inputs, packed.outputs, form.bits, form.group)


def _row_bytes(form: Format, inputs: int) -> int:
    """Bytes of a row as it is multiplied: integers, and a scale and a start a group; or numbers."""
    groups = form.groups(inputs)
    return (groups * 2 + ROW_GAP) * 2 if form == BF16 else groups * (form.group + 8)


def rows_of(tensor: Tensor) -> Rows:
    """A matrix of one of `TYPES` for C++."""
    return Rows(tensor.data_ptr(), tensor.stride(0), TYPES[tensor.dtype])


def _vector(name: str, vector: Tensor | None, size: int) -> Tensor | None:
    """As float32 side by side, or `ValueError`."""
    if vector is not None and vector.shape != (size,):
        raise ValueError(f"{name} must be [{size}], is {list(vector.shape)}")
    return None if vector is None else vector.float().contiguous()


def _check_rows(x: Tensor, inputs: int) -> None:
    if x.dtype not in TYPES or x.dim() != 2 or x.shape[1] != inputs:
        raise ValueError(f"rows must be float32 or bfloat16 [rows, {inputs}]")
    if (x.stride(1) != 1 and inputs > 1) or x.device.type != "cpu":
        raise ValueError("rows must be unbroken, on the CPU")


def _check_logits(logits: Tensor, rules: Sequence[Rule]) -> None:
    if logits.dtype != torch.float32 or logits.dim() != 2 or len(logits) != len(rules):
        raise ValueError(f"logits must be float32 [{len(rules)}, vocabulary]")
    words = logits.shape[1]
    if not 0 < words <= MOST_WORDS or (logits.stride(1) != 1 and words > 1):
        raise ValueError(f"rows of logits must be unbroken, of 1 to {MOST_WORDS} words")
