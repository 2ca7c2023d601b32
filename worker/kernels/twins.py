"""The kernels in PyTorch: what tests compare the C++ with, and what runs where none was compiled.

They give the same bits, not the same speed.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional

from worker.kernels.attention import Attention, Heads
from worker.kernels.attention_twin import AttentionTwin
from worker.kernels.draw import Masks, Rule, draw
from worker.kernels.lowbit import BF16, Codes, Format, dequantise, integers
from worker.kernels.packed import Fused, Packed, unpack

LARGEST = 127
LANES = 16
LOG2_E = 1.44269504
LN2_HIGH, LN2_LOW = 0.693359375, -2.12194440e-4
LEAST_POWER = -87.0
LEAST_NORMAL = 2.0**-126
SPARE = 2.0**40  # times this a denormal float32 has all its 24 bits
SMALLEST = 1e-30  # what is smaller all over a group counts as zeros


class Twins:
    """All kernels, in PyTorch; satisfies `Kernels`."""

    name = "twins"
    bfloats = None  # PyTorch has its own, much faster product of those

    def linear(self, fused: Fused) -> Callable[[Tensor], Tensor]:
        """A function for what `fused` says of rows `x` [rows, in].

        Rows are normalised, then quantised by group. Within a group sums are integers; groups are
        added in order, so rows do not depend on each other. One that is not finite gives NaN.
        For a matrix of bfloat16 rows are rounded to that, and sums are as `_sum_of_pairs` has them.
        """
        return lambda x: _linear(fused, unpack(fused.matrix), x.float()).to(x.dtype)

    def look_up(self, matrix: Packed, indices: Tensor) -> Tensor:
        """Rows `indices` [count] of the matrix as numbers of its type, [count, in]."""
        return dequantise(unpack(matrix))[indices].to(matrix.dtype)

    def attention(self, heads: Heads, pages: Tensor) -> Attention:
        """A layer's attention over `pages` of `allocate_pages`; near that of C++, not equal."""
        return AttentionTwin(heads, pages)

    def draw(self, logits: Tensor, rules: Sequence[Rule], masks: Masks = ()) -> list[int]:
        return draw(logits, rules, masks)

    def close(self) -> None:
        pass


def _linear(fused: Fused, codes: Codes, x: Tensor) -> Tensor:
    if fused.norm is not None:
        x = x * _inverse_size(x, fused.epsilon) * fused.norm.float()
    if codes.form == BF16:
        y = _sum_of_pairs(dequantise(codes), x.bfloat16().float())
    else:
        y = _product(codes, *quantise_rows(x, codes.form))
    if fused.bias is not None:
        y += fused.bias.float()
    if not fused.matrix.gated:
        return y
    gate, up = y.chunk(2, 1)
    return silu(gate) * up


def _inverse_size(x: Tensor, epsilon: float) -> Tensor:
    """1 / sqrt(mean of squares + epsilon) of each row, [rows, 1]; sums in the order of C++."""
    lanes = -(-x.shape[1] // LANES)
    padded = functional.pad(x, (0, -x.shape[1] % LANES)).view(len(x), lanes, LANES)
    sums = torch.zeros(len(x), LANES)
    for squares in padded.square().unbind(1):
        sums += squares
    total = torch.zeros(len(x))
    for each in sums.unbind(1):
        total += each
    # In float64 and back is exact; PyTorch's own root of float32 is not always the nearest number.
    root = (total / x.shape[1] + torch.tensor(epsilon)).double().sqrt().float()
    return 1 / root.unsqueeze(1)


def _product(codes: Codes, values: Tensor, own: Tensor) -> Tensor:
    """Quantised rows times what codes stand for, [rows, out]."""
    weights = integers(codes).float()  # [out, groups, group]
    scales = codes.scales.float()
    total = torch.zeros(len(values), len(weights))
    for group in range(values.shape[1]):
        sums = values[:, group] @ weights[:, group].T  # integers below 2^24: exact in any order
        total = multiply_add(sums, scales[:, group] * own[:, group, None], total)
    return total


def _sum_of_pairs(weights: Tensor, x: Tensor) -> Tensor:
    """`x` [rows, in] times `weights` [out, in], of each pair of inputs the second first.

    Each product is added with one rounding; denormal numbers are zeros.
    """
    pad = (0, x.shape[1] % 2)
    x, weights = (functional.pad(_without_denormals(each), pad) for each in (x, weights))
    total = torch.zeros(len(x), len(weights))
    for pair in range(0, x.shape[1], 2):
        for k in (pair + 1, pair):
            odd = fused_to_odd(x[:, k, None], weights[:, k], total)
            is_normal = (odd * SPARE).float().abs() >= LEAST_NORMAL * SPARE
            total = torch.where(is_normal | odd.isnan(), odd.float(), 0.0)
    return total


def _without_denormals(x: Tensor) -> Tensor:
    return torch.where((x.abs() >= LEAST_NORMAL) | x.isnan(), x, 0.0)


def multiply_add(a: Tensor, b: Tensor, c: Tensor) -> Tensor:
    """a * b + c in float32 with one rounding, as processors do it."""
    return fused_to_odd(a, b, c).float()


def fused_to_odd(a: Tensor, b: Tensor, c: Tensor) -> Tensor:
    """The same in float64, rounded to odd (Boldo and Melquiond 2008).

    The product is exact there, and what is so rounded rounds right to float32.
    """
    product, added = a.double() * b.double(), c.double()
    sums = product + added
    back = sums - product
    rest = (product - (sums - back)) + (added - back)
    bits = sums.view(torch.int64)
    nudge = torch.where((rest > 0) == (sums > 0), 1, -1)
    inexact = ((rest > 0) | (rest < 0)) & (bits & 1 == 0)
    return torch.where(inexact, bits + nudge, bits).view(torch.float64)


def silu(x: Tensor) -> Tensor:
    """x times its logistic, float32."""
    power = _exponential(-x.abs())
    return x * torch.where(x < 0, power, 1.0) / (1 + power)


def _exponential(x: Tensor) -> Tensor:
    """e^x for x <= 0, step by step as in silu.h."""
    n = (x.clamp(min=LEAST_POWER) * LOG2_E).round()
    r = (x.clamp(min=LEAST_POWER) - n * LN2_HIGH) - n * LN2_LOW
    total = torch.full_like(x, 1 / 5040)
    for term in (1 / 720, 1 / 120, 1 / 24, 1 / 6, 0.5, 1.0, 1.0):
        total = total * r + term
    return torch.where(x < LEAST_POWER, 0.0, torch.ldexp(total, n))


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
