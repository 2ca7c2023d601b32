"""What the engine knows of drafts: who guesses, where it pays, and how often it was right."""

from collections.abc import Collection

from worker.engine.drafts import OFF, Drafter, Wish
from worker.engine.plan import Plan
from worker.engine.sequence import Sequence
from worker.engine.worth import Cost, Stopwatch, lengths


class Drafting:
    """Costs next to nothing where nothing is guessed. Not thread-safe: the engine holds a lock."""

    def __init__(self, drafter: Drafter = OFF) -> None:
        self.drafted = 0
        self.accepted = 0
        self._drafter = drafter
        self._stopwatch = Stopwatch()

    def wishes(self, sequences: Collection[Sequence]) -> list[tuple[Sequence, int]]:
        """Which sequences of the next step should guess how many tokens."""
        if not self._drafter.most:
            return []
        cost = self._stopwatch.cost(len(sequences))
        ready = [sequence for sequence in sequences if self._is_ready(sequence, cost)]
        if not ready:
            return []
        wanted = lengths([sequence.odds for sequence in ready], cost, self._drafter.most)
        pairs = zip(ready, wanted, strict=True)
        return [(sequence, min(length, sequence.draftable)) for sequence, length in pairs if length]

    def guess(self, plan: Plan) -> None:
        """Put guesses where the plan has room for them."""
        shares = [share for share in plan.shares if share.room]
        if not shares:
            return
        wishes = [Wish(share.sequence, share.room) for share in shares]
        for share, drafts in zip(shares, self._drafter.draft(wishes), strict=True):
            share.drafts = drafts

    def learn(self, plan: Plan, seconds: float) -> None:
        """The step is over, and it is known which of its drafts were right."""
        if not self._drafter.most:
            return
        shares = [share for share in plan.shares if share.drafts]
        if plan.only_decodes:
            drafts = sum(len(share.drafts) for share in shares)
            self._stopwatch.count(len(plan.shares), drafts, seconds)
        if not shares:
            return
        cost = self._stopwatch.cost(len(plan.shares))
        fixed = cost.fixed / len(shares)
        for share in shares:
            self.drafted += len(share.drafts)
            self.accepted += share.right
            lost = fixed + cost.row * len(share.drafts)
            share.sequence.odds.learn(len(share.drafts), share.right, lost)

    def forget(self, sequence: Sequence) -> None:
        """The sequence has ended. Unknown ones are no error."""
        self._drafter.forget(sequence)

    def _is_ready(self, sequence: Sequence, cost: Cost) -> bool:
        """Has it something to guess, and could it lose that?"""
        odds = sequence.odds
        if not odds.may_look(cost) or sequence.draftable <= 0:
            return False
        odds.grade = self._drafter.grade(sequence)
        may_guess = odds.may_guess(cost)
        if not may_guess:
            odds.rest()
        return may_guess
