"""When drafts pay: what drafted tokens cost and how often they are right. Plain numbers.

Both are measured, the cost of the steps and each sequence's own luck, and the length of drafts is
the one that promises most (goodput, Liu et al. 2024): all that draft in a step have it, as far as
each can pay, since equal rows are computed together. Where nothing is promised, a sequence has a
small allowance to find out whether that has changed: drafts that never help cost little more.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

ALLOWANCE = 0.01
"""Tokens a step that a sequence may lose by guesses."""

SAVED, MOST_SAVED = 0.4, 3.0
"""Tokens that a sequence may lose at its start, and at most of those that guesses have won it."""

MEMORY = 0.9
"""What remains of older guesses with each new one, and so of what was believed before any."""

GRADES = 3
"""How good guesses look, to whoever makes them: 1 to 3, and 0 where there are none."""

FIRST_CHANCES, FIRST_GUESSES = (0.6, 0.7, 0.8), 2.0
"""By grade; believed before anything is known, as firmly as so many guesses would show it."""

KINSHIP = 0.6
"""How much guesses of one grade tell about those of the others."""

FIRST_FIXED, FIRST_ROW = 0.1, 0.06
"""Shares of a plain step, and of its share for one sequence, believed before anything is known."""

FIRMNESS = (0.01, 1.0, 20.0, 80.0)
"""How many steps' worth the first belief weighs: in a step's base, a sequence, `fixed`, `row`."""

STEPS_MEMORY = 0.95
"""What remains of older steps with each new one of their kind, with drafts or without."""

STEPS_BETWEEN = 8
"""Steps after which the cost is computed anew."""

OUTLIER = 1.4
"""A step that takes so many times what is expected was interrupted: it counts as so many."""

CAUTION = 1.35
"""Costs count so many times what they seem: too low an estimate loses, too high a one waits."""

CHEAPEST = 0.005  # tokens; noise may make rows look free


@dataclass(frozen=True, slots=True)
class Cost:
    """What drafts cost in a step, in tokens: `fixed` once, and `row` for each guess."""

    fixed: float
    row: float


class Stopwatch:
    """Learns from the times of steps what drafts cost.

    Least squares over steps that read no prompt of `seconds = base + each * sequences + fixed *
    (any drafts) + row * drafts`, drawn a little towards a first belief. Older steps fade: where a
    few slow ones have ended all drafts, the belief comes back.
    """

    def __init__(self) -> None:
        self._moments = np.zeros((4, 4))
        self._products = np.zeros(4)
        self._line = np.zeros(4)  # base, each, fixed, row
        self._known_rows: set[int] = set()
        self._new: list[tuple[float, ...]] = []  # (1, sequences, any drafts, drafts, seconds)

    def count(self, sequences: int, drafts: int, seconds: float) -> None:
        """A step has given each of so many sequences a token and checked so many drafts.

        The first one of its number of rows tells nothing: PyTorch compiles some products for it.
        """
        rows = sequences + drafts
        if rows not in self._known_rows:
            self._known_rows.add(rows)
            return
        self._new.append((1, sequences, drafts > 0, drafts, seconds))
        if len(self._new) == STEPS_BETWEEN:
            self._learn(np.array(self._new, dtype=np.float64))
            self._new.clear()

    def cost(self, sequences: int) -> Cost:
        """The cost of drafts in a step of so many sequences."""
        base, each, fixed, row = self._line.tolist()
        plain = base + max(each, 0.0) * sequences
        if plain <= 0:
            return Cost(FIRST_FIXED * sequences, FIRST_ROW)
        scale = CAUTION * sequences / plain
        return Cost(max(fixed * scale, CHEAPEST), max(row * scale, CHEAPEST))

    def _learn(self, new: np.ndarray) -> None:
        steps, seconds = new[:, :4], new[:, 4]
        if self._line.any():
            expected = steps @ self._line
            seconds = np.where(expected > 0, np.minimum(seconds, OUTLIER * expected), seconds)
        faded = steps.T * STEPS_MEMORY ** np.arange(len(new) - 1, -1, -1)
        self._moments = STEPS_MEMORY ** len(new) * self._moments + faded @ steps
        self._products = STEPS_MEMORY ** len(new) * self._products + faded @ seconds
        self._line = self._fit()

    def _fit(self) -> np.ndarray:
        weight, sequences = self._moments[0, 0], self._moments[0, 1]
        mean = self._products[0] / weight
        each = mean * weight / sequences  # seconds a token
        belief = np.array([mean / 2, each / 2, FIRST_FIXED * mean, FIRST_ROW * each])
        firmness = np.diag(FIRMNESS)
        return np.linalg.solve(self._moments + firmness, self._products + firmness @ belief)


class Odds:
    """One sequence's experience with its guesses.

    `saved` is what it may lose, in tokens; `grade` is that of the guesses it could have now.
    """

    def __init__(self) -> None:
        self.saved = SAVED
        self.grade = 1
        self._right = [chance * FIRST_GUESSES for chance in FIRST_CHANCES]
        self._guesses = [FIRST_GUESSES] * GRADES
        self._gains: dict[tuple[int, int], float] = {}  # until there are new guesses

    def gain(self, length: int) -> float:
        """How many of so many guesses are right before the first wrong one, on average."""
        known = self._gains.get((self.grade, length))
        if known is None:
            chance = self._right[self.grade - 1] / self._guesses[self.grade - 1]
            known = chance * (1 - chance**length) / (1 - chance)
            self._gains[self.grade, length] = known
        return known

    def can_pay(self, cost: Cost) -> bool:
        """Could it lose a guess? Else it needs none."""
        return self.saved >= cost.row

    def wish(self, length: int, cost: Cost) -> int:
        """As many guesses as it could pay if all were wrong, or none where they promise nothing."""
        length = min(length, int(self.saved / cost.row))
        return length if length > 0 and self.gain(length) > cost.row * length else 0

    def learn(self, guesses: int, right: int, cost: float) -> None:
        """A step is over in which the first `right` of so many guesses were right."""
        if self.saved < SAVED:
            self.saved = min(SAVED, self.saved + ALLOWANCE)
        if guesses == 0:
            return
        self.saved = min(MOST_SAVED, self.saved + right - cost)
        seen = min(right + 1, guesses)  # behind a wrong guess, the others tell nothing
        for place in range(GRADES):
            weight = 1.0 if place == self.grade - 1 else KINSHIP
            fade = MEMORY ** (weight * seen)
            self._right[place] = fade * self._right[place] + weight * right
            self._guesses[place] = fade * self._guesses[place] + weight * seen
        self._gains.clear()


def lengths(odds: Sequence[Odds], cost: Cost, most: int) -> list[int]:
    """How many tokens each sequence should guess in the next step."""
    chosen: list[int] = []
    promise = 0.0
    for length in _choices(most):
        wishes = [one.wish(length, cost) for one in odds]
        gains = (one.gain(wish) - cost.row * wish for one, wish in zip(odds, wishes, strict=True))
        value = sum(gains) - cost.fixed
        if value > promise:
            chosen, promise = wishes, value
    return chosen or [int(one.saved >= cost.fixed + cost.row) for one in odds]


def _choices(most: int) -> list[int]:
    """1, 2, 4, ... and `most` itself."""
    return [length for length in (1, 2, 4, 8, 16, 32) if length < most] + [most]
