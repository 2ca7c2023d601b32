"""How finely rows of activations are rounded to integers, so that no product can overflow.

By Cauchy and Schwarz |xq . w| <= |xq| |w|, so a power of two chosen from a row's length alone keeps
every product below 2^31: no calibration, no clipping, no failure in the middle of an answer. The
exponents never leave the TEE. A masked row is uniform in Z_2^32 whatever stands below the mask
(Tramèr and Boneh 2019, arXiv:1806.03287, there over a prime field).
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

LARGEST = 2**31 - 1
SAFETY = 1 - 2**-20  # more than what float64 may err on a norm
BIAS, MANTISSA_BITS = 127, 23  # of float32
BLOCK = 2**17  # numbers: half a MiB
EXPONENTS = (-126, 120)  # normal powers of two both ways; a finite row never needs less than -124


@dataclass(frozen=True, slots=True, repr=False)
class Grid:
    """Rows are rounded to integers * `steps`. A row that is not finite has factor 0 and step NaN:
    it is sent as zeros, and its products are NaN in the TEE."""

    factors: Tensor  # float32 [rows], 1 / steps
    steps: Tensor  # float32 [rows], powers of two


def grid(x: Tensor, weight_norm: float) -> Grid:
    """The finest for rows `x` [rows, in] at which no product with a weight of that norm reaches
    2^31."""
    norms = torch.cat([_norms(part) for part in _blocks(x)])
    finite = norms.isfinite()
    exponents = torch.where(finite & (norms > 0), _exponents(norms, x.shape[1], weight_norm), 0)
    factors, steps = _power_of_two(exponents), _power_of_two(-exponents)
    if not bool(finite.all()):
        factors[~finite], steps[~finite] = 0, torch.nan
    return Grid(factors, steps)


def _blocks(x: Tensor) -> Iterator[Tensor]:
    """So few rows at a time that what is made of them stays in the cache."""
    return iter(torch.split(x, max(1, BLOCK // x.shape[1])))


def _norms(x: Tensor) -> Tensor:
    """Widened before, which is twice as fast as by `vector_norm` itself."""
    norms: Tensor = torch.linalg.vector_norm(x.double(), dim=1)
    return norms


def _exponents(norms: Tensor, inputs: int, weight_norm: float) -> Tensor:
    """The largest e with (|x| 2^e + sqrt(in) / 2) |w| < 2^31: rounding adds at most 1/2 each."""
    room = LARGEST / weight_norm * SAFETY - math.sqrt(inputs) / 2
    assert room > 1, "no model is so wide"
    exponents = torch.frexp(room / norms).exponent - 1  # 2^(exponent - 1) <= ratio
    return exponents.clamp(*EXPONENTS)


def _power_of_two(exponents: Tensor) -> Tensor:
    """float32 2^exponents, exactly: `ldexp` and `pow` may be off in the last bit."""
    return ((exponents + BIAS) << MANTISSA_BITS).view(torch.float32)
