"""Files of requests and answers, one JSON object a line, that can be gone on with.

A line to answer is a body of the API, with `messages` or `prompt`, or such a body in `body`, and
may have a `custom_id`; so OpenAI's batch files are read too. A line of answers has the shape of
those files: `{"custom_id", "response": {"status_code", "body"}}`.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from cloister.errors import BadSettings

Body = dict[str, Any]
"""A request or an answer of the API."""


@dataclass(frozen=True, slots=True)
class Task:
    """One request. `id` names it in the answers; the body stays out of `repr`."""

    id: str
    body: Body = field(repr=False)

    @property
    def path(self) -> str:
        """The route that answers it."""
        return "/v1/chat/completions" if "messages" in self.body else "/v1/completions"


@dataclass(frozen=True, slots=True)
class Outcome:
    """The answer to a task."""

    id: str
    status: int
    body: Body = field(repr=False)

    @property
    def settled(self) -> bool:
        """Answered, or refused for good; else the same request may do better another time."""
        return self.status < 500 and self.status != 429

    @property
    def text(self) -> str:
        """What was generated, or why nothing was."""
        if "error" in self.body:
            return f"error: {self.body['error']['message']}"
        choice = self.body["choices"][0]
        return choice["text"] if "text" in choice else choice["message"]["content"] or ""

    def line(self) -> str:
        response = {"status_code": self.status, "body": self.body}
        return json.dumps({"custom_id": self.id, "response": response}, ensure_ascii=False) + "\n"


def read_tasks(lines: Iterable[str], source: str) -> Iterator[Task]:
    """The tasks of a JSONL file. Raises `BadSettings` that names the line, never its content."""
    seen: set[str] = set()
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        task = _task(line, number, source)
        if task.id in seen:
            raise BadSettings(f"{source}, line {number}: its custom_id is that of a line before")
        seen.add(task.id)
        yield task


def _task(line: str, number: int, source: str) -> Task:
    try:
        entry = json.loads(line)
    except ValueError:
        raise BadSettings(f"{source}, line {number} is not JSON") from None
    if not isinstance(entry, dict):
        raise BadSettings(f"{source}, line {number} is not an object")
    name = entry.pop("custom_id", str(number))
    body = entry.get("body", entry)
    if not isinstance(name, str) or not isinstance(body, dict):
        raise BadSettings(f"{source}, line {number}: custom_id is a text, body an object")
    if ("messages" in body) == ("prompt" in body):
        raise BadSettings(f"{source}, line {number}: either messages or prompt must be there")
    return Task(name, body)


class Answers:
    """A file of answers that grows, and knows which tasks it has."""

    def __init__(self, path: Path) -> None:
        """Open, or go on: a last line that was cut off is dropped. Raises `BadSettings`."""
        try:
            self._file: IO[str] = path.open("a+", encoding="utf-8")
        except OSError as error:
            raise BadSettings(f"--output {path}: {error.strerror}") from None
        try:
            self.ids = self._read(path)
        except BadSettings:
            self._file.close()
            raise

    def _read(self, path: Path) -> frozenset[str]:
        self._file.seek(0)
        ids, whole = [], 0
        while (line := self._file.readline()).endswith("\n"):
            ids.append(_id(line, path))
            whole = self._file.tell()
        self._file.truncate(whole)
        return frozenset(ids)

    def write(self, outcome: Outcome) -> None:
        """Add an answer; it is in the file when this returns."""
        self._file.write(outcome.line())
        self._file.flush()

    def close(self) -> None:
        self._file.close()


def _id(line: str, path: Path) -> str:
    try:
        return str(json.loads(line)["custom_id"])
    except (ValueError, TypeError, KeyError):
        raise BadSettings(f"--output {path} holds a line that is no answer; name another") from None
