"""What one step computes, and for whom: plain values from the scheduler to the step's end."""

from collections.abc import Sequence as Many
from dataclasses import dataclass, field
from itertools import accumulate

from worker.engine.request import Constraint
from worker.engine.sequence import Sequence
from worker.engine.step import Segment, Step


@dataclass(slots=True, eq=False)
class Share:
    """`count` tokens of one sequence in one step; if it `completes` them, a new token follows.

    `scored` of its rows tell how probable the next tokens of the prompt are. Behind them there is
    `room` for `drafts`, each of which may be followed by a new token too. The first `right` of them
    turn out to be what is chosen.
    """

    sequence: Sequence
    count: int
    completes: bool
    scored: int = 0
    room: int = 0
    drafts: Many[int] = field(default=(), repr=False)
    right: int = 0

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

    @property
    def rows(self) -> int:
        return sum(share.rows for share in self.shares)

    @property
    def useful_rows(self) -> int:
        """Rows whose keys and values stay, once it is known which drafts are right."""
        return sum(share.count + share.right for share in self.shares)

    @property
    def only_decodes(self) -> bool:
        """Does no share read a prompt?"""
        return all(share.count == 1 for share in self.shares)

    def step(self) -> Step:
        return Step(tuple([share.segment() for share in self.shares]))

    @property
    def wants_vectors(self) -> bool:
        """Is nothing but vectors asked for? A model either embeds or generates."""
        return all(share.sequence.request.wants_vector for share in self.shares)

    @property
    def completing(self) -> list[Share]:
        """The shares that get new tokens, in the order of their logits."""
        return [share for share in self.shares if share.completes]

    @property
    def masked(self) -> list[Constraint]:
        """The constraints whose masks the step needs: other choices are tried first."""
        sequences = [share.sequence for share in self.shares if share.completes]
        return [
            sequence.constraint
            for sequence in sequences
            if sequence.constraint is not None
            and (sequence.constraint.doubtful or not sequence.request.sampling.is_plain)
        ]

    @property
    def choices(self) -> int:
        """How many rows new tokens are chosen from."""
        return sum(share.choices for share in self.shares)

    @property
    def choice_rows(self) -> list[int]:
        """The rows of the step's logits that new tokens are chosen from."""
        ends = accumulate(share.logits for share in self.shares)
        pairs = zip(self.shares, ends, strict=True)
        return [row for share, end in pairs for row in range(end - share.choices, end)]
