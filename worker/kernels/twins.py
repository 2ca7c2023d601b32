"""The kernels in PyTorch: what tests compare the C++ with, and what runs where none was compiled.

They give the same bits, not the same speed.
"""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor
from torch.nn import functional

from worker.kernels.draw import Rule, draw
from worker.kernels.lowbit import Format, dequantise, integers
from worker.kernels.packed import Packed, unpack

LARGEST = 127
SMALLEST = 1e-30  # what is smaller all over a group counts as zeros


class Twins:
    """All kernels, in PyTorch; satisfies `Kernels`."""

    name = "twins"

    def multiply(self, matrix: Packed, x: Tensor, bias: Tensor | None = None) -> Tensor:
        """`x` [rows, in], quantised by row and group, times the matrix, plus `bias` [out].

        Within a group sums are integers; groups are added in order, so rows do not depend on each
        other. A row that is not finite gives NaN.
        """
        total = torch.zeros(len(x), matrix.outputs)
        for part in _parts(matrix, x):
            total += part
        if bias is not None:
            total += bias.float()
        return total.to(x.dtype)

    def look_up(self, matrix: Packed, indices: Tensor) -> Tensor:
        """Rows `indices` [count] of the matrix as numbers of its type, [count, in]."""
        return dequantise(unpack(matrix))[indices].to(matrix.dtype)

    def draw(self, logits: Tensor, rules: Sequence[Rule]) -> list[int]:
        return draw(logits, rules)

    def close(self) -> None:
        pass


def _parts(matrix: Packed, x: Tensor) -> Iterator[Tensor]:
    """What each group of inputs adds to the result, [rows, out]."""
    codes = unpack(matrix)
    weights = integers(codes).float()  # [out, groups, group]
    scales = codes.scales.float()
    values, own = quantise_rows(x, matrix.form)
    for group in range(values.shape[1]):
        sums = values[:, group] @ weights[:, group].T  # integers below 2^24: exact in any order
        yield sums * scales[:, group] * own[:, group, None]


def quantise_rows(x: Tensor, form: Format) -> tuple[Tensor, Tensor]:
    """`x` [rows, in] to integers in [-127, 127], float32 [rows, groups, group], and scales.

    A group that is not finite becomes zeros with a scale of NaN.
    """
    groups = form.groups(x.shape[1])
    padding = groups * form.group - x.shape[1]
    grouped = functional.pad(x.float(), (0, padding)).view(len(x), groups, form.group)
    largest = grouped.abs().amax(-1)
    finite, counts = largest.isfinite(), largest.isfinite() & (largest >= SMALLEST)
    # `LARGEST / largest` would multiply with a reciprocal, and round twice.
    inverse = torch.where(counts, torch.full_like(largest, LARGEST) / largest, 0.0)
    values = torch.where(counts.unsqueeze(-1), grouped * inverse.unsqueeze(-1), 0.0).round_()
    scales = torch.where(counts, largest / LARGEST, 0.0)
    return values, torch.where(finite, scales, float("nan"))
