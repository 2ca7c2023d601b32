"""Guesses of a sequence's next tokens, which the model then checks all in one step. No tensors.

A guess costs time at worst, never a token: the choice at each place is made as ever, and guesses
count only as far as they equal it (Leviathan et al. 2023 take the draft's own random choices and
correct them by rejection; our random numbers belong to a token's place, so ours is stronger: the
text is the very same as without drafts).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from worker.engine.sequence import Sequence

OFTEN = -1  # in place of a place, for a token that stands at several
NONE = -1  # in place of a token, before a text's first

LIKELY_GRADE = 2  # as good as two tokens in common: about two of three are right


@dataclass(frozen=True, slots=True)
class Wish:
    """At most `most` guesses, at least one, are wanted behind a sequence's tokens."""

    sequence: Sequence
    most: int


class Drafter(Protocol):
    """Where guesses come from. Used in the engine's thread."""

    most: int  # guesses a step; 0 is off

    def grade(self, sequence: Sequence) -> int:
        """How good its guesses look now: 0 where there are none, at most `worth.GRADES`."""

    def draft(self, wishes: Iterable[Wish]) -> list[list[int]]:
        """Guesses for each wish, perhaps none."""

    def forget(self, sequence: Sequence) -> None:
        """The sequence has ended. Unknown ones are no error."""


class NoDrafts:
    """Guesses nothing and is not asked."""

    most = 0

    def grade(self, sequence: Sequence) -> int:  # noqa: ARG002
        return 0

    def draft(self, wishes: Iterable[Wish]) -> list[list[int]]:
        return [[] for _ in wishes]

    def forget(self, sequence: Sequence) -> None:
        pass


OFF = NoDrafts()


class Past:
    """Where ends of one to three tokens of a text's beginnings went on last.

    `common` tokens end the text and an earlier part of it; behind that part is `place`. A single
    token counts only while it stands at one place before: what is frequent foretells nothing.
    """

    def __init__(self) -> None:
        self.common = 0
        self.place = 0
        self._read = 0  # tokens that have been an end
        self._ones: dict[int, int] = {}
        self._more: dict[tuple[int, ...], int] = {}  # ends of two and three tokens

    def follow(self, tokens: list[int]) -> None:
        """Read on: a few steps a token, however long the text is."""
        if self._read < len(tokens) - 1:
            first, second = self._read_on(tokens)
            self.common, self.place = self._find(first, second, tokens[-1])

    def _read_on(self, tokens: list[int]) -> tuple[int, int]:
        """Know the ends of all beginnings but of the whole text; its tokens before the last."""
        ones, more, read = self._ones, self._more, self._read
        first, second = (NONE, NONE, *tokens[max(0, read - 2) : read])[-2:]
        for place, token in enumerate(tokens[read:-1], start=read + 1):
            ones[token] = OFTEN if token in ones else place
            more[second, token] = more[first, second, token] = place
            first, second = second, token
        self._read = len(tokens) - 1
        return first, second

    def _find(self, first: int, second: int, token: int) -> tuple[int, int]:
        if (place := self._more.get((second, token))) is None:
            place = self._ones.get(token, OFTEN)
            return (0, 0) if place == OFTEN else (1, place)
        longer = self._more.get((first, second, token))
        return (2, place) if longer is None else (3, longer)


class Lookup:
    """Goes on as the sequence's own text did where it had the same end (Saxena 2023).

    The longest common end counts, of these the latest; the longer it is, the better the guess.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self._pasts: dict[Sequence, Past] = {}

    def grade(self, sequence: Sequence) -> int:
        return self._past(sequence).common

    def draft(self, wishes: Iterable[Wish]) -> list[list[int]]:
        return [self._repeat(wish) for wish in wishes]

    def forget(self, sequence: Sequence) -> None:
        self._pasts.pop(sequence, None)

    def _repeat(self, wish: Wish) -> list[int]:
        """What followed then, again and again: it repeats from here on, if the guess is right."""
        past, tokens = self._past(wish.sequence), wish.sequence.tokens
        if not past.common:
            return []
        length = len(tokens) - past.place
        return [tokens[past.place + index % length] for index in range(wish.most)]

    def _past(self, sequence: Sequence) -> Past:
        past = self._pasts.get(sequence)
        if past is None:
            past = self._pasts[sequence] = Past()
        past.follow(sequence.tokens)
        return past


class Forced:
    """Guesses the text that a sequence's rules leave no choice about; else as another drafter does.

    Such text can be cut into tokens in several ways, so it is a guess like any other.
    """

    def __init__(self, other: Drafter) -> None:
        self.most = other.most
        self._other = other

    def grade(self, sequence: Sequence) -> int:
        return LIKELY_GRADE if _forced(sequence) else self._other.grade(sequence)

    def draft(self, wishes: Iterable[Wish]) -> list[list[int]]:
        wishes = list(wishes)
        forced = [_forced(wish.sequence)[: wish.most] for wish in wishes]
        free = [wish for wish, ids in zip(wishes, forced, strict=True) if not ids]
        others = iter(self._other.draft(free))
        return [list(ids) or next(others) for ids in forced]

    def forget(self, sequence: Sequence) -> None:
        self._other.forget(sequence)


def _forced(sequence: Sequence) -> tuple[int, ...]:
    return () if sequence.constraint is None else sequence.constraint.forced()
