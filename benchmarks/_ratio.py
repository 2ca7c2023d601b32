"""Two ways of one thing, measured in turn: the ratio of paired rounds, with its spread.

What else runs on a machine changes from second to second, so both ways meet it in each round, and
the middle of the pairs' ratios says more than the ratio of two middles.
"""

import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

Measured = TypeVar("Measured")


@dataclass(frozen=True, slots=True)
class Ratio:
    """The median of paired rounds, and the quartiles around it."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, before: Sequence[float], after: Sequence[float]) -> "Ratio":
        """How many times as much `after` is, pair by pair; at least two pairs."""
        ratios = [new / old for old, new in zip(before, after, strict=True)]
        low, median, high = statistics.quantiles(ratios, n=4, method="inclusive")
        return cls(median, low, high)

    def __str__(self) -> str:
        return f"{self.median:.2f} ({self.low:.2f} to {self.high:.2f})"


def in_turn(
    first: Callable[[int], Measured],
    second: Callable[[int], Measured],
    rounds: int,
    warm_up: int = 1,
) -> Iterator[tuple[Measured, Measured]]:
    """Pairs of both for each round, which begin with either by turns, behind some to warm up."""
    for place in range(warm_up + rounds):
        if place % 2:
            after = second(place)
            pair = first(place), after
        else:
            pair = first(place), second(place)
        if place >= warm_up:
            yield pair
