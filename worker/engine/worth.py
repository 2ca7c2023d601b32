"""When drafts pay: what drafted tokens cost and how often they are right. Plain numbers.

Both are measured, the cost of the steps and each sequence's own luck, and each sequence guesses as
long as one more guess promises more than it costs (goodput, Liu et al. 2024) and it could pay if
all were wrong. Where nothing is promised, a sequence has a small allowance to find out whether that
has changed, and looks for guesses ever more rarely: drafts that never help cost little more.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

ALLOWANCE, LEAST_ALLOWANCE = 0.04, 0.005
"""Tokens a step that a sequence may lose by guesses: half as many after each loss, to the least."""

SAVED, MOST_SAVED = 0.7, 3.0
"""Tokens that a sequence may lose at its start, and at most of those that guesses have won it."""

MOST_PAUSE = 8
"""Steps between two looks of a sequence that finds no guesses; it begins with one."""

MEMORY = 0.9
"""What remains of older guesses with each new one, and so of what was believed before any."""

GRADES = 3
"""How good guesses look, to whoever makes them: 1 to 3, and 0 where there are none."""

FIRST_CHANCE, FIRST_GUESSES = 0.7, 2.0
"""Believed before anything is known, as firmly as so many guesses would show it."""

SUREST = 0.99  # of chances; hundreds of right guesses would round to certainty

KINSHIP = 0.6
"""How much guesses of one grade tell about those of the others."""

FIRST_FIXED, FIRST_ROW = 0.08, 0.03
"""Shares of a plain step, believed before anything is known."""

FIRMNESS = (0.01, 1.0, 5.0, 80.0)
"""How many steps' worth the first belief weighs: in a step's base, a sequence, `fixed`, `row`."""

STEPS_MEMORY = 0.95
"""What remains of older steps with each new one of their kind, with drafts or without."""

FIRST_STEPS, MOST_STEPS = 16, 64
"""Steps after which the cost is computed for the first time; then after ever more."""

OUTLIER = 1.4
"""A step that takes so many times what is expected was interrupted: it counts as so many."""

CAUTION = 1.6
"""Costs count so many times what they seem: too low an estimate loses, too high a one waits."""

DEAR = 0.5
"""Tokens a guess may cost where it is of the lowest grade: such guesses are right too seldom."""

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
        self._costs: dict[int, Cost] = {}  # by sequences, until more is learnt
        self._due = FIRST_STEPS
        self._new: list[tuple[float, ...]] = []  # (1, sequences, any drafts, drafts, seconds)

    def count(self, sequences: int, drafts: int, seconds: float) -> None:
        """A step has given each of so many sequences a token and checked so many drafts."""
        self._new.append((1, sequences, drafts > 0, drafts, seconds))
        if len(self._new) == self._due:
            self._learn(np.array(self._new, dtype=np.float64))
            self._new.clear()
            self._due = min(MOST_STEPS, 2 * self._due)

    def cost(self, sequences: int) -> Cost:
        """The cost of drafts in a step of so many sequences."""
        if sequences not in self._costs:
            self._costs[sequences] = self._estimate(sequences)
        return self._costs[sequences]

    def _estimate(self, sequences: int) -> Cost:
        base, each, fixed, row = self._line.tolist()
        plain = base + max(each, 0.0) * sequences
        if plain <= 0:
            return Cost(FIRST_FIXED * sequences, FIRST_ROW * sequences)
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
        self._costs.clear()

    def _fit(self) -> np.ndarray:
        weight, sequences = self._moments[0, 0], self._moments[0, 1]
        mean = self._products[0] / weight
        each = mean * weight / sequences  # seconds a token
        belief = np.array([mean / 2, each / 2, FIRST_FIXED * mean, FIRST_ROW * mean])
        firmness = np.diag(FIRMNESS)
        return np.linalg.solve(self._moments + firmness, self._products + firmness @ belief)


class Odds:
    """One sequence's experience with its guesses.

    `saved` is what it may lose, in tokens; `grade` is that of the guesses it could have now.
    """

    def __init__(self) -> None:
        self.saved = SAVED
        self.grade = 1
        self._allowance = ALLOWANCE
        self._wait = 0
        self._pause = 1
        self._right = [FIRST_CHANCE * FIRST_GUESSES] * GRADES
        self._guesses = [FIRST_GUESSES] * GRADES

    @property
    def chance(self) -> float:
        """How often such a guess is right if those before it are."""
        return min(SUREST, self._right[self.grade - 1] / self._guesses[self.grade - 1])

    def gain(self, length: int) -> float:
        """How many of so many guesses are right before the first wrong one, on average."""
        chance = self.chance
        return chance * (1 - chance**length) / (1 - chance)

    def may_look(self, cost: Cost) -> bool:
        """Should it look for guesses now? Each step allows it to lose a little more."""
        if self.saved < SAVED:
            self.saved = min(SAVED, self.saved + self._allowance)
        if self._wait > 0:
            self._wait -= 1
            return False
        return self.saved >= cost.row

    def may_guess(self, cost: Cost) -> bool:
        """Is there anything to guess that could be worth its price?"""
        return self.grade > 1 or (self.grade == 1 and cost.row <= DEAR)

    def rest(self) -> None:
        """It has looked in vain: the next look comes later, and later each time."""
        self._wait = self._pause
        self._pause = min(MOST_PAUSE, 2 * self._pause)

    def wish(self, cost: Cost, most: int) -> int:
        """Guesses that promise more than they cost, the last one too, if all could be lost."""
        chance = self.chance
        if chance <= cost.row:
            return 0
        return min(most, int(math.log(cost.row) / math.log(chance)), int(self.saved / cost.row))

    def learn(self, guesses: int, right: int, cost: float) -> None:
        """A step is over in which the first `right` of so many guesses were right."""
        self.saved = min(MOST_SAVED, self.saved + right - cost)
        self._allowance = ALLOWANCE if right > cost else max(LEAST_ALLOWANCE, self._allowance / 2)
        if right:
            self._pause = 1
        seen = min(right + 1, guesses)  # behind a wrong guess, the others tell nothing
        for place in range(GRADES):
            weight = 1.0 if place == self.grade - 1 else KINSHIP
            fade = MEMORY ** (weight * seen)
            self._right[place] = fade * self._right[place] + weight * right
            self._guesses[place] = fade * self._guesses[place] + weight * seen


def lengths(odds: Sequence[Odds], cost: Cost, most: int) -> list[int]:
    """How many tokens each sequence should guess in the next step."""
    wishes = [one.wish(cost, most) for one in odds]
    gains = (one.gain(wish) - cost.row * wish for one, wish in zip(odds, wishes, strict=True))
    if sum(gains) > cost.fixed:
        return wishes
    return [int(one.saved >= cost.fixed + cost.row) for one in odds]
