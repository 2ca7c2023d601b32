"""Freivalds' check (1977) of a product, over the integers mod 2^64.

For a secret s in [0, 2^32)^out and t = w8.T s, a true product y = x w8.T has y s = x t. A wrong one
differs by some 0 < |e_j| < 2^32, and e_j = 2^a odd with a <= 31 leaves at most one s_j in [0, 2^32)
for which the sums still agree: a lie passes with probability 2^-32 at most, whatever it depends on,
since s never leaves this object. The first failed check ends an endpoint's service.
"""

import os

import numpy as np
from torch import Tensor

from worker.execution.split.stream import Words

Sums = np.ndarray[tuple[int, ...], np.dtype[np.uint64]]


class Check:
    """The check for one matrix [out, in]."""

    def __init__(self, w8: Tensor) -> None:
        outputs = len(w8)
        self._secret: Sums = np.frombuffer(os.urandom(4 * outputs), np.uint32).astype(np.uint64)
        self._image = _image(w8, self._secret)

    def holds(self, integers: Words, products: Words) -> bool:
        """Is each row of `products` [rows, out] that of `integers` [rows, in]? Both signed."""
        return np.array_equal(_sums(products, self._secret), _sums(integers, self._image))


def _sums(rows: Words, weights: Sums) -> Sums:
    """rows @ weights mod 2^64; einsum is the fastest of numpy's ways for integers."""
    signed = rows.view(np.int32)
    sums: Sums = np.einsum("ij,j->i", signed, weights.view(np.int64)).view(np.uint64)
    return sums


def _image(w8: Tensor, secret: Sums) -> Sums:
    """w8.T @ secret mod 2^64."""
    total = np.zeros(w8.shape[1], np.int64)
    step = max(1, 2**20 // w8.shape[1])  # rows at a time, to stay in the cache
    for start in range(0, len(w8), step):
        rows = w8[start : start + step].numpy()
        total += np.einsum("ij,i->j", rows, secret[start : start + step].view(np.int64))
    return total.view(np.uint64)
