"""What checking costs, although it has no time of its own.

Its sums are made in the passes that also mask and unmask, so a pass is repeated on other numbers of
the same shape with and without them, in turn, and the difference of the medians is the check's.
"""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Literal

import numpy as np
import torch

from worker.kernels.masking import Masking

TURNS = 9


@dataclass(frozen=True, slots=True)
class Pass:
    """`hide` or `reveal` over so many numbers."""

    masking: Masking
    what: Literal["hide", "reveal"]
    rows: int
    columns: int
    dtype: torch.dtype


@cache
def check_s(one: Pass) -> float:
    """Processor seconds of the check in it."""
    run = _hiding(one) if one.what == "hide" else _revealing(one)
    turns = [(_timed(run, True), _timed(run, False)) for _ in range(TURNS)]
    with_sums = statistics.median(one for one, _ in turns)
    return max(0.0, with_sums - statistics.median(other for _, other in turns))


def _timed(run: Callable[[bool], object], checked: bool) -> float:
    began = time.process_time()
    run(checked)
    return time.process_time() - began


def _hiding(one: Pass) -> Callable[[bool], object]:
    random = np.random.default_rng(0)
    masks = random.integers(0, 2**32, (one.rows, one.columns), np.uint32)
    image = random.integers(0, 2**64, one.columns, np.uint64)
    x, factors = torch.ones(one.rows, one.columns, dtype=one.dtype), torch.ones(one.rows)
    return lambda checked: one.masking.hide(x, factors, masks, image if checked else None)


def _revealing(one: Pass) -> Callable[[bool], object]:
    random = np.random.default_rng(0)
    products, masks = random.integers(0, 2**32, (2, one.rows, one.columns), np.uint32)
    secret = random.integers(0, 2**32, one.columns, np.uint32)
    numbers = torch.ones(one.rows), torch.ones(one.columns), one.dtype
    return lambda checked: one.masking.reveal(
        products, masks, secret if checked else None, *numbers
    )
