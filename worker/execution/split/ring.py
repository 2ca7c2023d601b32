"""Activations as integers that cannot overflow, masks on them, and back.

By Cauchy and Schwarz |xq . w| <= |xq| |w|, so a power of two chosen from a row's length alone keeps
every product below 2^31: no calibration, no clipping, no failure in the middle of an answer. The
exponents never leave the TEE. A masked row is uniform in Z_2^32 whatever stands below the mask
(Tramèr and Boneh 2019, arXiv:1806.03287, there over a prime field).
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from worker.execution.split.sites import Int8Weight
from worker.execution.split.stream import Words

LARGEST = 2**31 - 1
SAFETY = 1 - 2**-20  # more than what float64 may err on a norm
BIAS, MANTISSA_BITS = 127, 23  # of float32
BLOCK = 2**17  # numbers: half a MiB
EXPONENTS = (-126, 120)  # normal powers of two both ways; a finite row never needs less than -124


@dataclass(frozen=True, slots=True, repr=False)
class Fixed:
    """Rows as `integers * steps`. A row that is not finite has integers 0 and the step NaN."""

    integers: Words  # [rows, in], two's complement
    steps: Tensor  # float32 [rows], powers of two


def to_fixed(x: Tensor, weight: Int8Weight) -> Fixed:
    """Round each row of `x` [rows, in] to the finest step at which no product reaches 2^31."""
    norms = torch.cat([_norms(x[some]) for some in blocks(*x.shape)])
    finite = norms.isfinite()
    exponents = torch.where(finite & (norms > 0), _exponents(norms, x.shape[1], weight.norm), 0)
    factors, steps = _power_of_two(exponents), _power_of_two(-exponents)
    integers = torch.empty(x.shape, dtype=torch.int32)
    for some in blocks(*x.shape):
        integers[some] = (x[some].float() * factors[some, None]).round_()
    if not bool(finite.all()):  # such a row's products are NaN in the TEE, and nothing of it leaves
        integers[~finite], steps[~finite] = 0, torch.nan
    words: Words = integers.numpy().view(np.uint32)
    return Fixed(words, steps)


def _norms(x: Tensor) -> Tensor:
    """Widened before, which is twice as fast as by `vector_norm` itself."""
    norms: Tensor = torch.linalg.vector_norm(x.double(), dim=1)
    return norms


def blocks(rows: int, columns: int) -> Iterator[slice]:
    """Slices of rows that are so few that what is made of them stays in the cache."""
    step = max(1, BLOCK // columns)
    return (slice(start, start + step) for start in range(0, rows, step))


def _exponents(norms: Tensor, inputs: int, weight_norm: float) -> Tensor:
    """The largest e with (|x| 2^e + sqrt(in) / 2) |w| < 2^31: rounding adds at most 1/2 each."""
    room = LARGEST / weight_norm * SAFETY - math.sqrt(inputs) / 2
    assert room > 1, "no model is so wide"
    exponents = torch.frexp(room / norms).exponent - 1  # 2^(exponent - 1) <= ratio
    return exponents.clamp(*EXPONENTS)


def masked(fixed: Fixed, mask: Words) -> Words:
    """What the GPU gets, [rows, in]: uniform if `mask` is. In the mask's own memory if it may be.

    A mask that spreads over all rows may not.
    """
    return np.add(fixed.integers, mask, out=mask if mask.flags.writeable else None)


def unmasked(products: Words, mask_products: Words) -> Words:
    """The true products, in place: (x + r) w - r w mod 2^32."""
    products -= mask_products
    return products


def from_fixed(products: Words, steps: Tensor, weight: Int8Weight) -> Tensor:
    """float32 [rows, out]: integers back to numbers, by both scales."""
    y = torch.from_numpy(products.view(np.int32)).float()
    y *= steps[:, None]
    y *= weight.scale
    return y


def _power_of_two(exponents: Tensor) -> Tensor:
    """float32 2^exponents, exactly: `ldexp` and `pow` may be off in the last bit."""
    return ((exponents + BIAS) << MANTISSA_BITS).view(torch.float32)
