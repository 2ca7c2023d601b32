"""When drafts pay: what drafted tokens cost and how often they are right. Plain numbers.

Both are measured, the cost of the steps and each sequence's own luck, and the length of drafts is
the one that promises most (goodput, Liu et al. 2024): all that draft in a step have it, since equal
rows are computed together. Where nothing is promised, a sequence has a small allowance to find out
whether that has changed: drafts that never help cost little more than the allowance.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

ALLOWANCE = 0.01
"""Tokens a step that a sequence may lose by guesses."""

SAVED = 0.5
"""Tokens that a sequence may lose at its start, or at once after guesses that were right."""

MEMORY = 0.9
"""What remains of older guesses with each new one, and so of what was believed before any."""

FIRST_RIGHT, FIRST_GUESSES = 1.2, 2.0

FIRST_FIXED, FIRST_ROW = 0.1, 0.05
"""Shares of a plain step, and of its share for one sequence, believed before anything is known."""

STEPS_MEMORY = 0.98
"""What remains of older steps with each new one."""

OUTLIER = 2.0
"""A step that takes so many times what is expected was interrupted: it counts as so many."""

FIRMNESS = (0.01, 0.01, 20.0, 80.0)
"""How many steps' worth the first belief weighs: in a step's base, a sequence, `fixed`, `row`."""

STEPS_BETWEEN = 16
"""Steps after which the cost is computed anew."""

CAUTION = 1.5
"""Costs count so many times what they seem: too low an estimate loses, too high a one waits."""

CHEAPEST = 0.005  # tokens; noise may make rows look free


@dataclass(frozen=True, slots=True)
class Cost:
    """What drafts cost in a step, in tokens: `fixed` once, and `row` for each guess."""

    fixed: float
    row: float


class Stopwatch:
    """Learns from the times of steps what drafts cost.

    Least squares over steps that read no prompt, older ones fading, of `seconds = base + each *
    sequences + fixed * (any drafts) + row * drafts`, drawn a little towards a first belief.
    """

    def __init__(self) -> None:
        self._moments = np.zeros((4, 4))
        self._products = np.zeros(4)
        self._line = [0.0, 0.0, 0.0, 0.0]  # base, each, fixed, row
        self._new: list[tuple[float, ...]] = []  # (1, sequences, any drafts, drafts, seconds)

    def count(self, sequences: int, drafts: int, seconds: float) -> None:
        """A step has given each of so many sequences a token and checked so many drafts."""
        self._new.append((1, sequences, drafts > 0, drafts, seconds))
        if len(self._new) == STEPS_BETWEEN:
            self._learn(np.array(self._new, dtype=np.float64))
            self._new.clear()

    def cost(self, sequences: int) -> Cost:
        """The cost of drafts in a step of so many sequences."""
        base, each, fixed, row = self._line
        plain = base + each * sequences
        if plain <= 0:
            return Cost(FIRST_FIXED * sequences, FIRST_ROW)
        scale = CAUTION * sequences / plain
        return Cost(max(fixed * scale, CHEAPEST), max(row * scale, CHEAPEST))

    def _learn(self, new: np.ndarray) -> None:
        steps, seconds = new[:, :4], new[:, 4]
        if any(self._line):
            seconds = np.minimum(seconds, OUTLIER * steps @ self._line)
        faded = steps.T * STEPS_MEMORY ** np.arange(len(new) - 1, -1, -1)
        self._moments = STEPS_MEMORY ** len(new) * self._moments + faded @ steps
        self._products = STEPS_MEMORY ** len(new) * self._products + faded @ seconds
        self._line = self._fit().tolist()

    def _fit(self) -> np.ndarray:
        weight, sequences = self._moments[0, 0], self._moments[0, 1]
        mean = self._products[0] / weight
        each = mean * weight / sequences  # seconds a token
        belief = np.array([mean / 2, each / 2, FIRST_FIXED * mean, FIRST_ROW * each])
        firmness = np.diag(FIRMNESS)
        return np.linalg.solve(self._moments + firmness, self._products + firmness @ belief)


class Odds:
    """One sequence's experience with its guesses. `saved` is what it may lose, in tokens."""

    def __init__(self) -> None:
        self.saved = SAVED
        self._right, self._guesses = FIRST_RIGHT, FIRST_GUESSES
        self._gains: dict[int, float] = {}  # asked for in each step, changed by guesses alone

    def gain(self, length: int) -> float:
        """How many of so many guesses are right before the first wrong one, on average."""
        if length not in self._gains:
            chance = self._right / self._guesses
            self._gains[length] = chance * (1 - chance**length) / (1 - chance)
        return self._gains[length]

    def learn(self, guesses: int, right: int, cost: float) -> None:
        """A step is over in which the first `right` of so many guesses were right."""
        self.saved = min(SAVED, self.saved + ALLOWANCE + right - cost)
        if guesses == 0:
            return
        seen = min(right + 1, guesses)  # behind a wrong guess, the others tell nothing
        fade = MEMORY**seen
        self._right = fade * self._right + right
        self._guesses = fade * self._guesses + seen
        self._gains.clear()


def lengths(odds: Sequence[Odds], cost: Cost, most: int) -> list[int]:
    """How many tokens each sequence should guess in the next step."""
    best, promise = 0, 0.0
    trusted = [one for one in odds if one.saved > 0]
    for length in _choices(most) if trusted else ():
        gains = (one.gain(length) - cost.row * length for one in trusted)
        value = sum(gain for gain in gains if gain > 0) - cost.fixed
        if value > promise:
            best, promise = length, value
    if best:
        return [best if _promises(one, cost, best) else 0 for one in odds]
    return [int(one.saved >= cost.fixed + cost.row) for one in odds]


def _promises(one: Odds, cost: Cost, length: int) -> bool:
    return one.saved > 0 and one.gain(length) > cost.row * length


def _choices(most: int) -> list[int]:
    """1, 2, 4, ... and `most` itself."""
    return [length for length in (1, 2, 4, 8, 16, 32) if length < most] + [most]
