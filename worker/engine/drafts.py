"""Guesses of a sequence's next tokens, which the model then checks all in one step. No tensors.

A guess costs time at worst, never a token: the choice at each place is made as ever, and guesses
count only as far as they equal it (Leviathan et al. 2023 take the draft's own random choices and
correct them by rejection; our random numbers belong to a token's place, so ours is stronger: the
text is the very same as without drafts).
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Protocol

from worker.engine.sequence import Sequence

LONGEST = 3
"""Tokens that a text's end and an earlier place have in common at most; one is the least."""

FORCED_GRADE = 2  # as good as two tokens in common: about two of three are right


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


@dataclass(slots=True)
class Past:
    """A text, one character a token, and what followed on an earlier place like its end."""

    text: str = field(default="", repr=False)
    common: int = 0  # tokens that the end and that place have in common
    run: str = field(default="", repr=False)  # repeats from here on, if the guess is right

    def read(self, tokens: Iterable[int]) -> None:
        """The text goes on."""
        text = self.text = self.text + "".join(map(chr, tokens))
        self.common, self.run = 0, ""
        for size in range(min(LONGEST, len(text) - 1), 0, -1):
            place = text.rfind(text[-size:], 0, len(text) - 1)
            if place >= 0:
                self.common, self.run = size, text[place + size :]
                return


class Lookup:
    """Goes on as the sequence's own text did where it had the same end (Saxena 2023).

    The longest common end counts, of these the latest; the longer it is, the better the guess.
    Texts are kept as strings: Python's own search is fast.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self._pasts: dict[Sequence, Past] = {}

    def grade(self, sequence: Sequence) -> int:
        return self._past(sequence).common

    def draft(self, wishes: Iterable[Wish]) -> list[list[int]]:
        return [_repeat(self._past(wish.sequence).run, wish.most) for wish in wishes]

    def forget(self, sequence: Sequence) -> None:
        self._pasts.pop(sequence, None)

    def _past(self, sequence: Sequence) -> Past:
        past = self._pasts.setdefault(sequence, Past())
        if len(past.text) < len(sequence.tokens):
            past.read(sequence.tokens[len(past.text) :])
        return past


def _repeat(run: str, count: int) -> list[int]:
    return [ord(run[index % len(run)]) for index in range(count)] if run else []


class Forced:
    """Guesses the text that a sequence's rules leave no choice about; else as another drafter does.

    Such text can be cut into tokens in several ways, so it is a guess like any other.
    """

    def __init__(self, other: Drafter) -> None:
        self.most = other.most
        self._other = other

    def grade(self, sequence: Sequence) -> int:
        return FORCED_GRADE if _forced(sequence) else self._other.grade(sequence)

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
