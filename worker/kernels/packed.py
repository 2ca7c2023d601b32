"""Matrices packed for the kernels: one layout that serves one row, a few, and hundreds.

32 outputs form a panel, and a panel is one stream of bytes: for each group of inputs the 32 scales,
if there are any, then the codes, four bytes of each output side by side: inputs, or two of
bfloat16. Read once from its start to its end, it gives each instruction what it multiplies next.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from worker.kernels.lowbit import BLOCK_NUMBERS, Codes, Format, quantise
from worker.memory import in_large_pages

PANEL = 32


@dataclass(frozen=True, slots=True)
class Packed:
    """A matrix as `panels` uint8 [panels, groups, bytes of scales and codes].

    A `gated` one is two matrices [outputs, inputs], one below the other; their panels take turns.
    The last panel of each is padded with outputs whose scales are 0.
    """

    panels: Tensor
    outputs: int
    inputs: int
    form: Format
    dtype: torch.dtype
    gated: bool = False

    @classmethod
    def empty(
        cls, outputs: int, inputs: int, form: Format, dtype: torch.dtype, *, gated: bool = False
    ) -> "Packed":
        """A matrix, or two, with no values yet but for the padding."""
        parts = 2 if gated else 1
        count, width = -(-outputs // PANEL), PANEL * (form.scale_bytes + form.group_bytes)
        panels = torch.empty(parts * count, form.groups(inputs), width, dtype=torch.uint8)
        in_large_pages(panels.data_ptr(), panels.nbytes)  # few rows are read 1.3 times as fast
        panels[parts * (outputs // PANEL) :].zero_()
        return cls(panels, outputs, inputs, form, dtype, gated)

    @property
    def nbytes(self) -> int:
        return self.panels.nbytes

    @property
    def scales(self) -> Tensor:
        """bfloat16 [panels, groups, outputs], in the same memory; only where there are some."""
        return self.panels[..., : PANEL * self.form.scale_bytes].view(torch.bfloat16)

    @property
    def fours(self) -> Tensor:
        """The codes, int32 for four bytes: [panels, groups, steps, outputs], in the same memory."""
        codes = self.panels[..., PANEL * self.form.scale_bytes :].view(torch.int32)
        return codes.view(*codes.shape[:2], -1, PANEL)

    def rows(self, start: int, end: int) -> "PackedRows":
        """Some of the rows, of one half where it is gated, as a place to put them."""
        if not self.gated:
            return PackedRows(self, start, end)
        part, first = divmod(start, self.outputs)
        assert first + end - start <= self.outputs
        return PackedRows(self.half(part), first, first + end - start)

    def half(self, part: int) -> "Packed":
        """One of the two matrices of a gated one, in the same memory."""
        return replace(self, panels=self.panels[part::2], gated=False)


@dataclass(frozen=True, slots=True)
class Fused:
    """A linear with what surrounds it: RMSNorm (Zhang and Sennrich 2019), product, bias.

    `norm` [inputs] are the weights of the first; `bias` has one number for each row of the matrix,
    or of both where it is gated: then the result is silu(first half) * second half.
    """

    matrix: Packed
    bias: Tensor | None = None
    norm: Tensor | None = None
    epsilon: float = 0.0


@dataclass(frozen=True, slots=True)
class PackedRows:
    """Outputs `start` to `end` of a packed matrix, which are filled a few at a time.

    So a matrix is rounded, read and fused with others in its last place: no copy of it stands by.
    """

    matrix: Packed
    start: int
    end: int

    @property
    def shape(self) -> tuple[int, int]:
        return self.end - self.start, self.matrix.inputs

    @property
    def nbytes(self) -> int:
        """Bytes of the codes and scales."""
        form = self.matrix.form
        each = form.group_bytes + form.scale_bytes
        return (self.end - self.start) * form.groups(self.matrix.inputs) * each

    def codes(self) -> Codes:
        """Codes of as many rows, with no values yet."""
        return Codes.empty(*self.shape, self.matrix.form, self.matrix.dtype)

    def round(self, first: int, numbers: Tensor) -> None:
        """Fill rows from `first` on with `numbers` [rows, in] of any float type, rounded."""
        step = max(1, BLOCK_NUMBERS // self.matrix.inputs)
        for start in range(0, len(numbers), step):
            codes = quantise(numbers[start : start + step], self.matrix.form)
            self.put_values(first + start, codes.values)
            self.put_scales(first + start, codes.scales)

    def put_values(self, first: int, values: Tensor) -> None:
        """Fill rows from `first` on with codes uint8 [rows, groups * group_bytes]."""
        fours = self.matrix.fours
        for pieces, columns, rows in self._pieces(first, len(values)):
            place = fours[pieces, ..., columns]  # [panels, groups, steps, outputs]
            count, groups, steps, outputs = place.shape
            codes = values[rows].view(torch.int32).view(count, outputs, groups, steps)
            place.copy_(codes.permute(0, 2, 3, 1))

    def put_scales(self, first: int, scales: Tensor) -> None:
        """Fill rows from `first` on with scales bfloat16 [rows, groups], if there are any."""
        if not self.matrix.form.scale_bytes:
            return
        all_scales = self.matrix.scales
        for pieces, columns, rows in self._pieces(first, len(scales)):
            place = all_scales[pieces, :, columns]  # [panels, groups, outputs]
            count, groups, outputs = place.shape
            place.copy_(scales[rows].view(count, outputs, groups).transpose(1, 2))

    def _pieces(self, first: int, count: int) -> Iterator[tuple[slice, slice, slice]]:
        """Panels, outputs in them, and which of `count` rows they are: at the ends parts of one."""
        begin, end = self.start + first, self.start + first + count
        at = begin
        while at < end:
            panel, column = divmod(at, PANEL)
            whole = (end - at) // PANEL if column == 0 else 0
            stop = at + whole * PANEL if whole else min(end, at - column + PANEL)
            columns = slice(column, column + (PANEL if whole else stop - at))
            yield slice(panel, panel + max(1, whole)), columns, slice(at - begin, stop - begin)
            at = stop


def pack(codes: Codes) -> Packed:
    """Reorder codes into panels."""
    packed = Packed.empty(*codes.shape, codes.form, codes.dtype)
    _put(packed, codes)
    return packed


def pack_gated(codes: Codes) -> Packed:
    """The same for two matrices of equal shape, one below the other."""
    (rows, inputs), outputs = codes.shape, codes.shape[0] // 2
    packed = Packed.empty(outputs, inputs, codes.form, codes.dtype, gated=True)
    _put(packed.half(0), codes.rows(0, outputs))
    _put(packed.half(1), codes.rows(outputs, rows))
    return packed


def _put(packed: Packed, codes: Codes) -> None:
    place = packed.rows(0, packed.outputs)
    place.put_values(0, codes.values)
    place.put_scales(0, codes.scales)


def unpack(packed: Packed) -> Codes:
    """The codes that packing was given."""
    if packed.gated:
        first, second = (unpack(packed.half(part)) for part in range(2))
        values = torch.cat((first.values, second.values))
        return replace(first, values=values, scales=torch.cat((first.scales, second.scales)))
    codes = Codes.empty(packed.outputs, packed.inputs, packed.form, packed.dtype)
    fours = packed.fours.permute(0, 3, 1, 2).flatten(0, 1).flatten(1)
    codes.values.view(torch.int32).copy_(fours[: packed.outputs])
    if packed.form.scale_bytes:
        codes.scales.copy_(packed.scales.transpose(1, 2).flatten(0, 1)[: packed.outputs])
    return codes
