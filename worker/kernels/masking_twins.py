"""Masking in numpy and PyTorch: what tests compare the C++ with, and what runs where none is."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

Words = np.ndarray[tuple[int, ...], np.dtype[np.uint32]]
Sums = np.ndarray[tuple[int, ...], np.dtype[np.uint64]]

BIAS, MANTISSA_BITS = 127, 23  # of float32
EXPONENTS = (-126, 120)  # normal powers of two both ways
LANES = 32
BLOCK = 2**17  # numbers that are taken at once: half a MiB, which stays in the cache


class MaskingTwins:
    """Satisfies `Masking`."""

    name = "twins"

    def space(self, x: Tensor, room: float) -> tuple[Tensor, Tensor]:
        """For each row of `x` the largest power of two that takes its length to `room` at most.

        Float32 [rows] twice: these factors, and the steps, 1 / factors. Between 2^-126 and 2^120; 1
        for a row of zeros. A row that is not finite has factor 0 and step NaN.
        """
        squares = torch.cat([_squares(x[some]) for some in _blocks(*x.shape)])
        exponents = torch.frexp(room / squares.sqrt()).exponent - 1  # 2^(exponent - 1) <= ratio
        exponents = torch.where(squares > 0, exponents, 0).clamp(*EXPONENTS)
        factors, steps = _power_of_two(exponents), _power_of_two(-exponents)
        broken = ~squares.isfinite()
        return factors.masked_fill_(broken, 0), steps.masked_fill_(broken, torch.nan)

    def hide(
        self, x: Tensor, factors: Tensor, masks: Words | None, image: Sums | None
    ) -> tuple[Words, Sums]:
        """Round `x * factors` [rows, in] to integers, put `masks` over them.

        `factors` [rows] are powers of two, or 0 for a row of zeros, that leave no number at 2^31.
        The words are written over the masks if these may be written to. The sums [rows] are of
        integers * `image` [in] mod 2^64, or zeros without.
        """
        words = masks if masks is not None and masks.flags.writeable else _like(x)
        sums = np.zeros(len(x), np.uint64)
        for some in _blocks(*x.shape):
            integers = _integers(x[some], factors[some])
            if image is not None:
                sums[some] = _dots(integers, image.view(np.int64))
            np.add(integers, 0 if masks is None else masks[some], out=words[some])
        return words, sums

    def reveal(
        self,
        products: Words,
        masks: Words | None,
        secret: Words | None,
        steps: Tensor,
        scales: Tensor,
        dtype: torch.dtype,
    ) -> tuple[Tensor, Sums]:
        """Take `masks` off `products` [rows, out], both left as they are, and make numbers of it.

        Numbers are integers * `steps` [rows] * `scales` [out], rounded to float32 each time, then
        to `dtype`. The sums [rows] are of integers * `secret` [out], both signed, mod
        2^64, or zeros without.
        """
        y = torch.empty(products.shape, dtype=dtype)
        sums = np.zeros(len(products), np.uint64)
        for some in _blocks(*products.shape):
            integers = products[some] if masks is None else products[some] - masks[some]
            if secret is not None:
                sums[some] = _dots(integers, secret.view(np.int32))
            numbers = torch.from_numpy(integers.view(np.int32)).float()
            y[some] = numbers.mul_(steps[some, None]).mul_(scales)
        return y, sums


def _like(x: Tensor) -> Words:
    return np.empty(tuple(x.shape), np.uint32)


def _squares(x: Tensor) -> Tensor:
    """Sums of squares, float64 [rows], in one order everywhere: each 32nd number, then halves."""
    wide = functional.pad(x.double(), (0, -x.shape[1] % LANES)).square_()
    lanes: np.ndarray = np.add.reduce(wide.view(len(x), -1, LANES).numpy(), axis=1)
    while lanes.shape[1] > 1:
        half = lanes.shape[1] // 2
        lanes = lanes[:, :half] + lanes[:, half:]
    return torch.from_numpy(lanes[:, 0])


def _power_of_two(exponents: Tensor) -> Tensor:
    """float32 2^exponents, exactly: `ldexp` and `pow` may be off in the last bit."""
    return ((exponents + BIAS) << MANTISSA_BITS).view(torch.float32)


def _integers(x: Tensor, factors: Tensor) -> Words:
    scaled = (x.float() * factors[:, None]).round_().masked_fill_(factors[:, None] == 0, 0)
    words: Words = scaled.int().numpy().view(np.uint32)
    return words


def _dots(integers: Words, weights: np.ndarray) -> Sums:
    """einsum is the fastest of numpy's ways for integers."""
    wide = weights.astype(np.int64, copy=False)
    sums: Sums = np.einsum("ij,j->i", integers.view(np.int32), wide).view(np.uint64)
    return sums


def _blocks(rows: int, columns: int) -> Iterator[slice]:
    step = max(1, BLOCK // columns)
    return (slice(start, start + step) for start in range(0, rows, step))
