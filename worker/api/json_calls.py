"""Reads calls of tools written as JSON objects."""

import json
import re
from collections.abc import Collection, Sequence
from typing import Any

from worker.api.brackets import ObjectEnd
from worker.api.calls import PYTHON_TAG, CallReader, NewId
from worker.api.parts import Arguments, Content, Part, overlap

HEAD = re.compile(
    r'\{\s*"name"\s*:\s*("(?:[^"\\]|\\.)*")\s*,\s*"(?:arguments|parameters)"\s*:\s*(?=\{)'
)
TAIL = re.compile(r'(?:,\s*"id"\s*:\s*"[^"]*"\s*)?\}')
TAIL_LENGTH = 128  # characters that are looked at for a call's id, which some models write
BETWEEN = " \n\r\t,;[]"
"""What stands around the calls of one list."""


class JsonCallReader(CallReader):
    """Calls as JSON objects.

    Args:
        opening: stands before a call or a list of calls; without one the calls are the answer
        closing: stands behind each call; without one the calls stand in a list
    """

    def __init__(
        self,
        names: Collection[str],
        new_id: NewId,
        limit: int,
        opening: str | None,
        closing: str | None,
    ) -> None:
        super().__init__(names, new_id, limit)
        self._opening = opening
        self._closing = closing
        self._scan = ObjectEnd()

    def end(self) -> Sequence[Part]:
        if self._count and self._read == self._between:
            self._text = self._text.strip(BETWEEN)
        if self._read in (self._tail, self._close):
            self._text = ""  # a call that misses but its end is a call
        return super().end()

    def _begin(self) -> Sequence[Part] | None:
        if self._opening is not None:
            return self._outside(self._opening)
        text = self._text.lstrip()
        if PYTHON_TAG.startswith(text[: len(PYTHON_TAG)]) and len(text) < len(PYTHON_TAG):
            return None
        started = text.removeprefix(PYTHON_TAG).lstrip()
        if not started:
            return None
        self._raw, self._text = self._text[: len(self._text) - len(started)], started
        self._read = self._object
        return []

    def _outside(self, opening: str) -> Sequence[Part] | None:
        """Content up to the next call; white space before a call belongs to neither."""
        before, found, after = self._text.partition(opening)
        sure = before[: len(before) - (0 if found else overlap(before, opening))].rstrip()
        if found:
            self._raw, self._text = self._text[len(sure) : len(before)] + opening, after
            self._read = self._between if self._closing is None else self._object
            return [Content(sure)] if sure else []
        self._text = self._text[len(sure) :]
        return [Content(sure)] if sure else None

    def _between(self) -> Sequence[Part] | None:
        text = self._text.lstrip(BETWEEN)
        if not text:
            return None
        if not text.startswith("{"):
            self._text = self._text if self._raw else text
            return self._give_up()
        self._raw += self._text[: len(self._text) - len(text)]
        self._text, self._read = text, self._object
        return []

    def _object(self) -> Sequence[Part] | None:
        """From a call's brace to its arguments, or to its end if they do not come last."""
        if self._count == self._limit:
            return self._give_up()
        text = self._text.lstrip()
        if not text:
            return None
        if text[0] != "{":
            return self._not_a_call()
        head = HEAD.match(text)
        if head and (name := _load(head[1])) in self._names:
            self._text, self._scan, self._read = text[head.end() :], ObjectEnd(), self._arguments
            return [self._call(name)]
        end = ObjectEnd().find(text)
        if end is None:
            return None
        call = _parse(text[:end], self._names)
        if call is None:
            return self._not_a_call()
        self._text, self._read = text[end:], self._close
        return self._whole_call(*call)

    def _not_a_call(self) -> Sequence[Part]:
        if self._opening is None or self._closing is None:
            return self._give_up()
        text, self._raw = self._raw, ""
        self._read = self._begin
        return [Content(text)]

    def _arguments(self) -> Sequence[Part] | None:
        end = self._scan.find(self._text)
        text, self._text = self._text[:end], "" if end is None else self._text[end:]
        if end is not None:
            self._read = self._tail
        return [Arguments(self._count - 1, text)] if text else None

    def _tail(self) -> Sequence[Part] | None:
        text = self._text.lstrip()
        if not text:
            return None
        tail = TAIL.match(text)
        if tail is None and text[0] == "," and len(text) < TAIL_LENGTH:
            return None
        self._text, self._read = text[tail.end() if tail else 0 :], self._close
        return []

    def _close(self) -> Sequence[Part] | None:
        text = self._text.lstrip()
        if self._closing is None:
            self._read = self._between
            return []
        if self._closing.startswith(text) and text != self._closing:
            return None
        self._text, self._read = text.removeprefix(self._closing), self._begin
        return []


def _load(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _parse(text: str, names: Collection[str]) -> tuple[str, dict[str, Any]] | None:
    """Name and arguments of a whole JSON call, its members in any order."""
    value = _load(text)
    if not isinstance(value, dict) or not isinstance(name := value.get("name"), str):
        return None
    given = value.get("arguments", value.get("parameters", {}))
    arguments = _load(given) if isinstance(given, str) else given
    return (name, arguments) if name in names and isinstance(arguments, dict) else None
