"""When drafts pay: what a drafted token costs and how often it is right. Plain numbers.

Both are measured. A sequence drafts while the next guess is more probably right than it is dear
(goodput, Liu et al. 2024). When guesses are not worth it, a sequence has a small allowance to find
out whether that has changed: so drafts that never help cost little more than the allowance.
"""

import math

ALLOWANCE = 0.02
"""Tokens a step that a sequence may lose by guesses."""

SAVED = 1.0
"""Tokens that a sequence may lose at its start, or at once after guesses that were right."""

MEMORY = 0.9
"""What remains of older guesses with each new one."""

FIRST_RIGHT, FIRST_GUESSES = 1.2, 2.0
"""What a sequence believes of its guesses before the first one."""

STEPS_MEMORY = 0.98
OUTLIER = 2.0
"""A step that takes so many times what is expected has been interrupted: it counts as so many."""

FIRST_PRICE, FIRST_WEIGHT = 0.1, 0.25
"""The price before steps of different size were seen, and how firmly it is believed."""

CHEAPEST = 0.01


class Price:
    """What one more row costs in a step of running sequences, from the times of such steps.

    A line through (rows, seconds) of steps, older ones fading: `seconds = base + slope * rows`.
    """

    def __init__(self) -> None:
        self._weight = 0.0
        self._rows = self._seconds = self._squares = self._products = 0.0

    def count(self, rows: int, seconds: float) -> None:
        """A step has computed so many rows, none of a prompt, in so many seconds."""
        if self._weight:
            seconds = min(seconds, OUTLIER * self._expected(rows))
        news = (1.0, rows, seconds, rows * rows, rows * seconds)
        olds = (self._weight, self._rows, self._seconds, self._squares, self._products)
        self._weight, self._rows, self._seconds, self._squares, self._products = (
            STEPS_MEMORY * old + new for old, new in zip(olds, news, strict=True)
        )

    def of_row(self, sequences: int) -> float:
        """A row's price in tokens, where each of so many sequences gets one token a step."""
        expected = self._expected(sequences) if self._weight else 0.0
        price = self._slope() * sequences / expected if expected > 0 else FIRST_PRICE
        return min(max(price, CHEAPEST), 1.0)

    def _expected(self, rows: int) -> float:
        mean_rows, mean_seconds = self._rows / self._weight, self._seconds / self._weight
        return max(mean_seconds + self._slope() * (rows - mean_rows), mean_seconds / 8)

    def _slope(self) -> float:
        """Seconds a row: least squares, drawn towards the first belief."""
        mean_rows, mean_seconds = self._rows / self._weight, self._seconds / self._weight
        variance = self._squares / self._weight - mean_rows**2
        covariance = self._products / self._weight - mean_rows * mean_seconds
        believed = FIRST_PRICE * mean_seconds / mean_rows
        return (covariance + FIRST_WEIGHT * believed) / (variance + FIRST_WEIGHT)


class Odds:
    """One sequence's experience with its guesses."""

    def __init__(self) -> None:
        self._right, self._guesses = FIRST_RIGHT, FIRST_GUESSES
        self._saved = SAVED

    def length(self, price: float) -> int:
        """How many tokens to guess when each costs `price`: as many as are worth it, or a trial."""
        chance = self._right / self._guesses
        if chance > price and self._saved > 0:
            return max(1, int(math.log(price) / math.log(chance)))  # chance ** length >= price
        return int(self._saved >= price)

    def learn(self, guessed: int, right: int, price: float) -> None:
        """A step is over in which the first `right` of so many guesses were right."""
        seen = min(right + 1, guessed)  # behind a wrong guess, the others tell nothing
        fade = MEMORY**seen
        self._right = fade * self._right + right
        self._guesses = fade * self._guesses + seen
        self._saved = min(SAVED, self._saved + ALLOWANCE + right - guessed * price)
