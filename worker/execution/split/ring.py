"""How finely rows of activations are rounded to integers, so that no product can overflow.

By Cauchy and Schwarz |xq . w| <= |xq| |w|, so a power of two chosen from a row's length alone keeps
every product below 2^31: no calibration, no clipping, no failure in the middle of an answer. The
exponents never leave the TEE. A masked row is uniform in Z_2^32 whatever stands below the mask
(Tramèr and Boneh 2019, arXiv:1806.03287, there over a prime field).
"""

import math

LARGEST = 2**31 - 1
SAFETY = 1 - 2**-20  # more than what float64 may err on a norm


def room(inputs: int, weight_norm: float) -> float:
    """How long a row of so many integers may be before it is rounded, for weights of that norm.

    (|x| + sqrt(in) / 2) |w| < 2^31: rounding adds at most 1/2 each.
    """
    left = LARGEST / weight_norm * SAFETY - math.sqrt(inputs) / 2
    assert left > 1, "no model is so wide"
    return left
