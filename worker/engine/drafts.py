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

LONGEST = 3
"""Tokens that a text's end and an earlier place have in common at most; one is the least."""


@dataclass(frozen=True, slots=True)
class Wish:
    """At most `most` guesses, at least one, are wanted behind a sequence's tokens."""

    sequence: Sequence
    most: int


class Drafter(Protocol):
    """Where guesses come from. Used in the engine's thread."""

    most: int  # guesses a step; 0 is off

    def draft(self, wishes: Iterable[Wish]) -> list[list[int]]:
        """Guesses for each wish, perhaps none."""

    def forget(self, sequence: Sequence) -> None:
        """The sequence has ended. Unknown ones are no error."""


class NoDrafts:
    """Guesses nothing and is not asked."""

    most = 0

    def draft(self, wishes: Iterable[Wish]) -> list[list[int]]:
        return [[] for _ in wishes]

    def forget(self, sequence: Sequence) -> None:
        pass


OFF = NoDrafts()


class Lookup:
    """Goes on as the sequence's own text did where it had the same end (Saxena 2023).

    The longest common end counts, of these the latest. Texts are kept as strings, one character a
    token: Python's own search is fast.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self._texts: dict[Sequence, str] = {}

    def draft(self, wishes: Iterable[Wish]) -> list[list[int]]:
        return [_continue(self._text(wish.sequence), wish.most) for wish in wishes]

    def forget(self, sequence: Sequence) -> None:
        self._texts.pop(sequence, None)

    def _text(self, sequence: Sequence) -> str:
        text = self._texts.get(sequence, "")
        text += "".join(map(chr, sequence.tokens[len(text) :]))
        self._texts[sequence] = text
        return text


def _continue(text: str, most: int) -> list[int]:
    for size in range(min(LONGEST, len(text) - 1), 0, -1):
        place = text.rfind(text[-size:], 0, len(text) - 1)
        if place >= 0:
            run = text[place + size :]  # repeats from here on, if the guess is right
            return [ord(run[index % len(run)]) for index in range(most)]
    return []
