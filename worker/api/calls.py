"""Reads calls of tools out of an answer's text: what all forms share.

A call is announced as soon as its name is known and its arguments begin; they then pass on as they
grow. What only looks like a call (no JSON, no tool of that name) comes back as content.
"""

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Sequence
from typing import Any

from worker.api.parts import Arguments, Call, Content, Part

PYTHON_TAG = "<|python_tag|>"

NewId = Callable[[], str]


class CallReader(ABC):
    """What all forms share. Only the tools `names` are called, and no more than `limit` times."""

    def __init__(self, names: Collection[str], new_id: NewId, limit: int) -> None:
        self._names = names
        self._new_id = new_id
        self._limit = limit
        self._count = 0
        self._text = ""  # not yet read
        self._raw = ""  # read, but given back as content if no call comes of it
        self._read: Callable[[], Sequence[Part] | None] = self._begin

    def push(self, text: str) -> Sequence[Part]:
        self._text += text
        parts: list[Part] = []
        while (read := self._read()) is not None:
            parts += read
        return parts

    def end(self) -> Sequence[Part]:
        rest, self._text, self._raw = self._raw + self._text, "", ""
        is_border = self._count > 0 and not rest.strip()
        return [Content(rest)] if rest and not is_border else []

    @abstractmethod
    def _begin(self) -> Sequence[Part] | None:
        """Read on: parts, none yet but perhaps at once (empty), or more text is needed (None)."""

    def _plain(self) -> Sequence[Part] | None:
        """Content, to the end."""
        text, self._text = self._raw + self._text, ""
        self._raw = ""
        return [Content(text)] if text else None

    def _give_up(self) -> Sequence[Part]:
        """What looked like a call is content."""
        self._read = self._plain
        return []

    def _call(self, name: str) -> Call:
        self._raw = ""
        self._count += 1
        return Call(self._count - 1, self._new_id(), name)

    def _whole_call(self, name: str, arguments: dict[str, Any]) -> list[Part]:
        call = self._call(name)
        return [call, Arguments(call.index, json.dumps(arguments, ensure_ascii=False))]
