"""Freivalds' check (1977) of a product, over the integers mod 2^64.

For a secret s in [-2^31, 2^31)^out and t = w8.T s, a true product y = x w8.T has y s = x t. A wrong
one differs by some 0 < |e_j| < 2^32, and e_j = 2^a odd with a <= 31 leaves at most one s_j of 2^32
in a row for which the sums still agree: a lie passes with probability 2^-32 at most, whatever it
depends on, since s never leaves the TEE. The first failed check ends an endpoint's service.

The sums are made where numbers are masked and unmasked anyway (worker/kernels/masking.py).
"""

import os

import numpy as np
from torch import Tensor

from worker.execution.split.stream import Words

Sums = np.ndarray[tuple[int, ...], np.dtype[np.uint64]]


class Check:
    """What checks the products of one matrix [out, in]: `secret` [out] is signed, `image` [in]."""

    def __init__(self, w8: Tensor) -> None:
        self.secret: Words = np.frombuffer(os.urandom(4 * len(w8)), np.uint32)
        self.image = _image(w8, self.secret)


def _image(w8: Tensor, secret: Words) -> Sums:
    """w8.T @ secret mod 2^64; einsum is the fastest of numpy's ways for integers."""
    signed = secret.view(np.int32).astype(np.int64)
    total = np.zeros(w8.shape[1], np.int64)
    step = max(1, 2**20 // w8.shape[1])  # rows at a time, to stay in the cache
    for start in range(0, len(w8), step):
        rows = w8[start : start + step].numpy()
        total += np.einsum("ij,i->j", rows, signed[start : start + step])
    return total.view(np.uint64)
