"""Reads calls of tools out of an answer's text, as models write them.

A call is announced as soon as its name is known and its arguments begin; they then pass on as they
grow. What only looks like a call (no JSON, no tool of that name) comes back as content.
"""

import ast
import json
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Sequence
from typing import Any

from worker.api.parts import Arguments, Call, Content, Part, overlap

HEAD = re.compile(
    r'\{\s*"name"\s*:\s*("(?:[^"\\]|\\.)*")\s*,\s*"(?:arguments|parameters)"\s*:\s*(?=\{)'
)
TAIL = re.compile(r'(?:,\s*"id"\s*:\s*"[^"]*"\s*)?\}')
TAIL_LENGTH = 128  # characters that are looked at for a call's id, which some models write
PYTHON_TAG = "<|python_tag|>"
BETWEEN = " \n\r\t,;[]"
"""What stands around the calls of one list."""

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
        self._scan = _ObjectEnd()

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
            self._text, self._scan, self._read = text[head.end() :], _ObjectEnd(), self._arguments
            return [self._call(name)]
        end = _ObjectEnd().find(text)
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


class PythonCallReader(CallReader):
    """Calls as a list of Python's, `[name(key=value), ...]`; read when the list is whole."""

    def _begin(self) -> Sequence[Part] | None:
        text = self._text.lstrip()
        if not text or PYTHON_TAG.startswith(text):
            return None
        listed = text.removeprefix(PYTHON_TAG).lstrip()
        if not listed:
            return None
        if not listed.startswith("["):
            return self._give_up()
        end = _ObjectEnd().find(listed)
        if end is None:
            return None
        calls = _python_calls(listed[:end], self._names)
        if calls is None or len(calls) > self._limit:
            return self._give_up()
        self._text, self._read = listed[end:].lstrip(), self._plain
        return [part for call in calls for part in self._whole_call(*call)]


class _ObjectEnd:
    """Finds where brackets that open close again, quoted ones left out; goes on where it was."""

    def __init__(self) -> None:
        self._depth = 0
        self._quote = ""
        self._is_escaped = False

    def find(self, text: str) -> int | None:
        """The place behind the last bracket, or None if it is not there yet."""
        for place, letter in enumerate(text):
            if self._quote:
                self._inside_quote(letter)
            elif letter in "\"'":
                self._quote = letter
            elif letter in "{[(":
                self._depth += 1
            elif letter in "}])":
                self._depth -= 1
                if self._depth <= 0:
                    return place + 1
        return None

    def _inside_quote(self, letter: str) -> None:
        if self._is_escaped:
            self._is_escaped = False
        elif letter == "\\":
            self._is_escaped = True
        elif letter == self._quote:
            self._quote = ""


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


def _python_calls(text: str, names: Collection[str]) -> list[tuple[str, dict[str, Any]]] | None:
    try:
        listed = ast.parse(text, mode="eval").body
        assert isinstance(listed, ast.List), "it begins with a bracket and ends with it"
        calls = [_python_call(item) for item in listed.elts]
    except (SyntaxError, ValueError, RecursionError, MemoryError, AssertionError):
        return None
    return calls if calls and all(name in names for name, _ in calls) else None


def _python_call(node: ast.expr) -> tuple[str, dict[str, Any]]:
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name) or node.args:
        raise ValueError("not a call by keywords")
    arguments: dict[str, Any] = {}
    for keyword in node.keywords:
        value = _python_value(keyword.value)
        arguments.update({keyword.arg: value} if keyword.arg is not None else value)
    return node.func.id, arguments


def _python_value(node: ast.expr) -> Any:
    """A literal of Python's; JSON's own words are understood too."""
    if isinstance(node, ast.Name) and node.id in ("true", "false", "null"):
        return {"true": True, "false": False, "null": None}[node.id]
    if isinstance(node, ast.List | ast.Tuple):
        return [_python_value(item) for item in node.elts]
    if isinstance(node, ast.Dict):
        keys = [None if key is None else _python_value(key) for key in node.keys]
        if not all(isinstance(key, str) for key in keys):
            raise ValueError("JSON's names are texts")
        return dict(zip(keys, map(_python_value, node.values), strict=True))
    value = ast.literal_eval(node)
    if not isinstance(value, str | int | float | bool | None):
        raise ValueError("not a value of JSON's")
    return value
