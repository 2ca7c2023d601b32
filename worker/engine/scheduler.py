"""Which sequences get how many tokens in the next step. Plain values in, plain values out.

Each sequence has computed and wanted tokens; a step closes the gaps under a budget. Sequences that
only wait for their next token go first, so that a long prompt never stops a running answer; then
prompts in order of arrival, in chunks. When pages run out, the youngest sequence gives its pages
back and starts over later from its tokens: the oldest one always gets on. Drafted tokens take what
room is left behind all of that.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import accumulate

from worker.engine.drafts import OFF, Drafter
from worker.engine.limits import Limits
from worker.engine.pages import Pages
from worker.engine.request import Constraint
from worker.engine.sequence import Sequence
from worker.engine.step import Segment, Step
from worker.engine.worth import Cost, Stopwatch, lengths

SCORED_ROWS = 64
"""Rows of prompts to score in one step at most: their logits stand in memory together."""

DRAFTED_ROWS = 64
"""Drafted tokens in one step at most, for the same reason."""


@dataclass(frozen=True, slots=True)
class Share:
    """`count` tokens of one sequence in one step; if it `completes` them, a new token follows.

    `scored` of its rows tell how probable the next tokens of the prompt are. Behind them there is
    `room` for `drafts`, each of which may be followed by a new token too.
    """

    sequence: Sequence
    count: int
    completes: bool
    scored: int = 0
    room: int = 0
    drafts: tuple[int, ...] = field(default=(), repr=False)

    @property
    def rows(self) -> int:
        return self.count + len(self.drafts)

    @property
    def choices(self) -> int:
        """Rows at the share's end that new tokens are chosen from."""
        return len(self.drafts) + 1 if self.completes else 0

    @property
    def logits(self) -> int:
        """Rows at the share's end whose logits are wanted."""
        return self.scored + self.choices

    def segment(self) -> Segment:
        start, end = self.sequence.computed, self.sequence.computed + self.count
        return Segment(
            tokens=(*self.sequence.tokens[start:end], *self.drafts),
            start=start,
            pages=tuple(self.sequence.pages),
            logits=self.logits,
        )


@dataclass(frozen=True, slots=True)
class Plan:
    """The shares of one step."""

    shares: tuple[Share, ...]
    cost: Cost  # of drafts

    @property
    def rows(self) -> int:
        return sum(share.rows for share in self.shares)

    @property
    def only_decodes(self) -> bool:
        """Does no share read a prompt?"""
        return all(share.count == 1 for share in self.shares)

    def step(self) -> Step:
        return Step(tuple(share.segment() for share in self.shares))

    @property
    def wants_vectors(self) -> bool:
        """Is nothing but vectors asked for? A model either embeds or generates."""
        return all(share.sequence.request.wants_vector for share in self.shares)

    @property
    def completing(self) -> list[Share]:
        """The shares that get new tokens, in the order of their logits."""
        return [share for share in self.shares if share.completes]

    def draft_cost(self, share: Share) -> float:
        """A share's part of what the step's drafts cost, in tokens."""
        if not share.drafts:
            return 0.0
        drafting = sum(1 for other in self.shares if other.drafts)
        return self.cost.fixed / drafting + self.cost.row * len(share.drafts)

    @property
    def masked(self) -> list[Constraint]:
        """The constraints whose masks the step needs: other choices are tried first."""
        sequences = [share.sequence for share in self.completing]
        return [
            sequence.constraint
            for sequence in sequences
            if sequence.constraint is not None
            and (sequence.constraint.doubtful or not sequence.request.sampling.is_plain)
        ]

    @property
    def drafting(self) -> list[Share]:
        """The shares with room for drafts."""
        return [share for share in self.shares if share.room]

    @property
    def choice_rows(self) -> list[int]:
        """The rows of the step's logits that new tokens are chosen from."""
        ends = accumulate(share.logits for share in self.shares)
        pairs = zip(self.shares, ends, strict=True)
        return [row for share, end in pairs for row in range(end - share.choices, end)]

    def with_drafts(self, drafts: list[list[int]]) -> "Plan":
        """The plan with guesses for those that are `drafting`, in their order."""
        new = iter(drafts)
        shares = (
            replace(share, drafts=tuple(next(new))) if share.room else share
            for share in self.shares
        )
        return replace(self, shares=tuple(shares))


class Scheduler:
    """Waiting and running sequences. Not thread-safe: the engine holds a lock."""

    def __init__(self, pages: Pages, limits: Limits, drafter: Drafter = OFF) -> None:
        self.pages = pages
        self.limits = limits
        self.drafter = drafter
        self.stopwatch = Stopwatch()
        self.waiting: deque[Sequence] = deque()
        self.running: list[Sequence] = []
        self.preemptions = 0

    def plan(self) -> Plan:
        """Give every sequence as many tokens as it wants while the budget and the pages last."""
        budget, scored = self.limits.step_tokens, SCORED_ROWS
        counts: dict[Sequence, int] = {}
        for sequence in self._in_turn():
            if budget == 0:
                break
            count = min(sequence.wanted, budget)
            if sequence.unscored > 0:
                count = min(count, scored)
                scored -= count
            for victim in self._make_room(sequence, count):
                budget += counts.pop(victim, 0)
            if count and sequence in self.running and self._reserve(sequence, count):
                counts[sequence] = count
                budget -= count
        cost = self.stopwatch.cost(len(counts))
        rooms = self._rooms(counts, budget, cost)
        shares = (
            _share(sequence, count, rooms.get(sequence, 0)) for sequence, count in counts.items()
        )
        return Plan(tuple(shares), cost)

    def commit(self, share: Share, right: int) -> None:
        """The share's keys and values, with those of `right` drafts, are in the cache now."""
        sequence = share.sequence
        sequence.computed += share.count + right
        self._publish(sequence)
        surplus = self.pages.needed(sequence.computed)  # pages of wrong drafts, or of none
        self.pages.release(sequence.pages[surplus:])
        del sequence.pages[surplus:]

    def remove(self, sequence: Sequence) -> None:
        """Forget a sequence, wherever it stands, and free its pages."""
        if sequence in self.running:
            self.running.remove(sequence)
        else:
            self.waiting.remove(sequence)
        self._free(sequence)

    def check(self) -> None:
        """Prove that the pages are counted exactly."""
        assert not any(sequence.pages for sequence in self.waiting)
        self.pages.check([sequence.pages for sequence in self.running])

    def _in_turn(self) -> Iterator[Sequence]:
        running = sorted(self.running, key=lambda sequence: (sequence.in_prompt, sequence.order))
        yield from (sequence for sequence in running if sequence in self.running)
        while (sequence := self._next()) is not None and self._admit(sequence):
            yield sequence

    def _next(self) -> Sequence | None:
        """The first that waits, but for those whose prompt a running one is just reading."""
        if not self.waiting or len(self.running) == self.limits.sequences:
            return None
        reading = {
            id(running.request.prompt)
            for running in self.running
            if not running.generated
            and (running.unscored or len(running.request.prompt) > self.pages.size)
        }
        ready = (one for one in self.waiting if id(one.request.prompt) not in reading)
        return next(ready, None)

    def _admit(self, sequence: Sequence) -> bool:
        """Move a waiting sequence to the running ones, if its whole prompt finds room."""
        if self.pages.needed(len(sequence.tokens)) > self.pages.available:
            return False
        self.waiting.remove(sequence)
        self.running.append(sequence)
        self._match(sequence)
        return True

    def _match(self, sequence: Sequence) -> None:
        """Take over known pages; the last token is always computed, for its logits.

        So are all tokens of a prompt that is still to be scored.
        """
        known = 0 if sequence.unscored > 0 else len(sequence.tokens) - 1
        full = known // self.pages.size
        digests = self._digests(sequence, full)
        sequence.pages = self.pages.match(digests)
        sequence.digests = digests[: len(sequence.pages)]
        sequence.computed = len(sequence.pages) * self.pages.size
        if sequence.generated == 0:
            sequence.cached = sequence.computed

    def _digests(self, sequence: Sequence, count: int) -> list[bytes]:
        size, digests = self.pages.size, []
        digest = self.pages.root(sequence.request.salt)
        for start in range(0, count * size, size):
            digest = self.pages.digest(digest, sequence.tokens[start : start + size])
            digests.append(digest)
        return digests

    def _publish(self, sequence: Sequence) -> None:
        size = self.pages.size
        while (len(sequence.digests) + 1) * size <= sequence.computed:
            index = len(sequence.digests)
            parent = sequence.digests[-1] if index else self.pages.root(sequence.request.salt)
            tokens = sequence.tokens[index * size : (index + 1) * size]
            sequence.digests.append(self.pages.digest(parent, tokens))
            self.pages.publish(sequence.pages[index], sequence.digests[-1])

    def _make_room(self, sequence: Sequence, count: int) -> Iterator[Sequence]:
        """Preempt younger sequences until `count` more tokens of this one find pages."""
        while self._missing(sequence, count) > self.pages.available:
            youngest = max(self.running, key=lambda running: running.order)
            if youngest is sequence:
                return
            self._preempt(youngest)
            yield youngest

    def _preempt(self, sequence: Sequence) -> None:
        self.running.remove(sequence)
        self._free(sequence)
        self.waiting.appendleft(sequence)
        self.preemptions += 1

    def _free(self, sequence: Sequence) -> None:
        self.pages.release(sequence.pages)
        sequence.pages, sequence.digests, sequence.computed = [], [], 0

    def _rooms(self, counts: dict[Sequence, int], budget: int, cost: Cost) -> dict[Sequence, int]:
        """Drafted tokens that sequences may add: they take no row and no page from others."""
        left = min(budget, DRAFTED_ROWS)
        ready = [sequence for sequence in counts if self._may_draft(sequence, cost)]
        if not ready:
            return {}
        wishes = lengths([sequence.odds for sequence in ready], cost, self.drafter.most)
        rooms: dict[Sequence, int] = {}
        for sequence, wish in zip(ready, wishes, strict=True):
            room = min(wish, sequence.draftable, left)
            if room and self._reserve(sequence, counts[sequence] + room):
                rooms[sequence] = room
                left -= room
        return rooms

    def _may_draft(self, sequence: Sequence, cost: Cost) -> bool:
        if not self.drafter.most or not sequence.draftable or not sequence.odds.can_pay(cost):
            return False
        sequence.odds.grade = self.drafter.grade(sequence)
        return sequence.odds.grade > 0

    def _missing(self, sequence: Sequence, count: int) -> int:
        return self.pages.needed(sequence.computed + count) - len(sequence.pages)

    def _reserve(self, sequence: Sequence, count: int) -> bool:
        missing = self._missing(sequence, count)
        if missing > self.pages.available:
            return False
        sequence.pages.extend(self.pages.take(missing))
        return True


def _share(sequence: Sequence, count: int, room: int) -> Share:
    start, end = sequence.computed, sequence.computed + count
    known = len(sequence.scores)
    scored = min(end, known + sequence.unscored) - max(start, known)
    return Share(sequence, count, count == sequence.wanted, max(0, scored), room)
