"""Low-bit weights: a matrix as codes of 4 or 8 bits, with one scale for each group of inputs; and
matrices of bfloat16 in the same terms, so that one layout and one kernel serve all.

This is the form in files, and what packing starts from. Rows (outputs) are independent of each
other, so matrices that are fused later may be quantised one by one.
"""

from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

STEP = 8  # inputs whose codes stand together: byte j of 4 bits holds those of inputs j and j + 4
SEARCHED = (1.0, 0.96, 0.92, 0.88, 0.84, 0.8)
"""Shares of the plain scale that are tried for 4 bits."""

BLOCK_NUMBERS = 1 << 18  # quantised at a time: the float32 copies stay small, and in the cache


@dataclass(frozen=True, slots=True)
class Format:
    """`bits` a code, `group` inputs a scale. Codes are unsigned: 2^(bits - 1) stands for 0.

    Of 16 bits are bfloat16 numbers themselves, which have no scales.
    """

    bits: Literal[4, 8, 16]
    group: int

    def groups(self, inputs: int) -> int:
        """Groups of a row; the last one is padded with zeros."""
        return -(-inputs // self.group)

    @property
    def group_bytes(self) -> int:
        """Bytes of a group's codes."""
        return self.group * self.bits // 8

    @property
    def scale_bytes(self) -> int:
        """Bytes of a group's scale."""
        return 0 if self.bits == 16 else torch.bfloat16.itemsize

    @property
    def zero(self) -> int:
        """The code of 0."""
        return 1 << (self.bits - 1)


INT4 = Format(4, 32)
INT8 = Format(8, 32)
BF16 = Format(16, 2)
"""Two inputs stand together: what one instruction multiplies."""


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Codes:
    """A matrix [out, in] of numbers that were of type `dtype`.

    `values` uint8 [out, groups * group_bytes], `scales` bfloat16 [out, groups], or [out, 0] where
    there are none.
    """

    values: Tensor
    scales: Tensor
    inputs: int
    form: Format
    dtype: torch.dtype

    @classmethod
    def empty(cls, outputs: int, inputs: int, form: Format, dtype: torch.dtype) -> "Codes":
        """Codes of a matrix, with no values yet."""
        groups = form.groups(inputs)
        values = torch.empty(outputs, groups * form.group_bytes, dtype=torch.uint8)
        scales = torch.empty(outputs, groups if form.scale_bytes else 0, dtype=torch.bfloat16)
        return cls(values, scales, inputs, form, dtype)

    @property
    def shape(self) -> tuple[int, int]:
        return len(self.scales), self.inputs

    @property
    def nbytes(self) -> int:
        return self.values.nbytes + self.scales.nbytes

    def rows(self, start: int, end: int) -> "Codes":
        """Some of the rows, in the same memory."""
        return replace(self, values=self.values[start:end], scales=self.scales[start:end])


def quantise(matrix: Tensor, form: Format) -> Codes:
    """Round `matrix` [out, in] of any float type; a group that is not finite becomes NaN."""
    outputs, inputs = matrix.shape
    codes = Codes.empty(outputs, inputs, form, matrix.dtype)
    quantise_into(matrix, codes)
    return codes


def quantise_into(matrix: Tensor, codes: Codes) -> None:
    """The same into given places, a block of rows at a time."""
    form, inputs = codes.form, codes.inputs
    padding = form.groups(inputs) * form.group - inputs
    rows = max(1, BLOCK_NUMBERS // inputs)
    for start in range(0, len(matrix), rows):
        block = slice(start, start + rows)
        padded = functional.pad(matrix[block].float(), (0, padding))
        if form.bits == 16:
            codes.values[block] = padded.bfloat16().view(torch.uint8)
            continue
        grouped = padded.view(len(padded), -1, form.group)  # [out, groups, group]
        scales = _scales(grouped, form)
        codes.scales[block] = scales
        codes.values[block] = _bytes(_rounded(grouped, scales, form).add_(form.zero), form)


def dequantise(codes: Codes) -> Tensor:
    """The matrix that the codes stand for, float32 [out, in]."""
    if codes.form.bits == 16:
        return codes.values.view(torch.bfloat16)[:, : codes.inputs].float()
    numbers = integers(codes).float() * codes.scales.float().unsqueeze(-1)
    return numbers.flatten(1)[:, : codes.inputs]


def integers(codes: Codes) -> Tensor:
    """The signed integers that codes stand for, int16 [out, groups, group]."""
    outputs, group, plain = len(codes.values), codes.form.group, codes.values
    if codes.form.bits == 4:
        fours = plain.view(outputs, -1, 1, STEP // 2)
        plain = torch.cat((fours & 15, fours >> 4), 2)
    return plain.view(outputs, -1, group).to(torch.int16) - codes.form.zero


def _bytes(codes: Tensor, form: Format) -> Tensor:
    """Codes as numbers [out, groups, group] to bytes [out, groups * group_bytes]."""
    plain = codes.to(torch.uint8).flatten(1)
    if form.bits == 8:
        return plain
    front, back = plain.view(len(plain), -1, 2, STEP // 2).unbind(2)
    return (front | back << 4).flatten(1)


def _rounded(grouped: Tensor, scales: Tensor, form: Format) -> Tensor:
    """The integers nearest to numbers over scales, within the code's range."""
    scale = scales.float().unsqueeze(-1)
    inverse = torch.where(scale != 0, 1 / scale, 0.0)
    least = -form.zero if form.bits == 4 else 1 - form.zero
    return (grouped * inverse).round_().clamp_(least, form.zero - 1).nan_to_num_(0.0)


def _scales(grouped: Tensor, form: Format) -> Tensor:
    """One scale a group, bfloat16 [out, groups]."""
    if form.bits == 8:
        return (grouped.abs().amax(-1) / (form.zero - 1)).bfloat16()
    return _searched(grouped, form)


def _searched(grouped: Tensor, form: Format) -> Tensor:
    """Scales of least squared error among some that cut off a little of the largest number.

    The largest number takes the end of the range that has one step more, so scales have a sign.
    """
    place = grouped.abs().argmax(-1, keepdim=True)
    plain = grouped.gather(-1, place).squeeze(-1) / -form.zero
    best = plain.bfloat16()
    least = torch.full_like(plain, float("inf"))
    for share in SEARCHED:
        scales = (plain * share).bfloat16()
        error = _rounded(grouped, scales, form).mul_(scales.float().unsqueeze(-1)).sub_(grouped)
        squared = error.square_().sum(-1)
        best = torch.where(squared < least, scales, best)
        least = torch.minimum(least, squared)
    return best
