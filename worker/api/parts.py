"""What an answer's text is made of, once it is read: content, reasoning, calls of tools."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Content:
    text: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Reasoning:
    text: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Call:
    """A call begins; its arguments follow."""

    index: int
    id: str
    name: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Arguments:
    """More of the text of a call's arguments."""

    index: int
    text: str = field(repr=False)


Part = Content | Reasoning | Call | Arguments


class Reader(Protocol):
    """Reads one answer as it grows. Parts of the same text are the same however it is cut."""

    def push(self, text: str) -> Sequence[Part]:
        """More text; returns what became certain."""

    def end(self) -> Sequence[Part]:
        """No more text comes; returns the rest."""


class PlainReader:
    """All is content."""

    def push(self, text: str) -> Sequence[Part]:
        return [Content(text)] if text else []

    def end(self) -> Sequence[Part]:
        return []


def overlap(text: str, sign: str) -> int:
    """How many last characters of `text` may be the beginning of `sign`."""
    lengths = range(min(len(sign) - 1, len(text)), 0, -1)
    return next((length for length in lengths if text.endswith(sign[:length])), 0)
