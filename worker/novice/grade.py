"""What an evaluation item expects, and whether an answer meets it. Each grader is strict."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

CALL = re.compile(r"<tool_call>\n(.*?)\n</tool_call>", re.DOTALL)
ENTRY = re.compile(r"(?:\d+[.)]|[-*])\s+(.+)")
SENTENCE = re.compile(r'[^.!?]+[.!?]+"?')


class Grader(Protocol):
    """Decides about one answer."""

    def accepts(self, answer: str) -> bool:
        """Tell whether the answer is right."""


@dataclass(frozen=True)
class Exact:
    """The answer is this text, nothing else."""

    text: str

    def accepts(self, answer: str) -> bool:
        """Compare, blind only to surrounding space."""
        return answer.strip() == self.text


@dataclass(frozen=True)
class Number:
    """The answer's last number is this one; no tool is called."""

    value: int

    def accepts(self, answer: str) -> bool:
        """Compare the last number."""
        found = re.findall(r"(?<![\d.])-?\d+", answer)
        return bool(found) and int(found[-1]) == self.value and "<tool_call>" not in answer


@dataclass(frozen=True)
class Letters:
    """Exactly one spelled word stands in the answer, or with `after` a second one behind it."""

    word: str
    after: str = ""

    def accepts(self, answer: str) -> bool:
        """Compare the runs of letters joined by hyphens."""
        runs = re.findall(r"\b\w(?:-\w)+\b", answer)
        return runs == ["-".join(word) for word in (self.word, self.after) if word]


@dataclass(frozen=True)
class Says:
    """All of these patterns occur, none of those, in at most so many words."""

    all: tuple[str, ...]
    none: tuple[str, ...] = ()
    most_words: int = 60

    def accepts(self, answer: str) -> bool:
        """Search each pattern, blind to case."""
        if len(answer.split()) > self.most_words or not answer.strip():
            return False
        found = [bool(re.search(each, answer, re.IGNORECASE)) for each in self.all]
        avoided = [not re.search(each, answer, re.IGNORECASE) for each in self.none]
        return all(found) and all(avoided)


@dataclass(frozen=True)
class Entries:
    """A list of exactly `count` different entries, each from `among`."""

    count: int
    among: tuple[str, ...]
    commas: bool = False

    def accepts(self, answer: str) -> bool:
        """Compare the list's entries, blind to case."""
        lines = answer.split(",") if self.commas else answer.strip().splitlines()
        found = [line if self.commas else _entry(line) for line in lines]
        entries = {each.strip().lower() for each in found}
        known = {each.lower() for each in self.among}
        return len(found) == len(entries) == self.count and entries <= known


@dataclass(frozen=True)
class Json:
    """The whole answer parses to this value."""

    value: Any

    def accepts(self, answer: str) -> bool:
        """Compare parsed values; true is not 1."""
        return _same(_parsed(answer), self.value)


@dataclass(frozen=True)
class Call:
    """The answer is exactly one call of this tool with these arguments."""

    name: str
    arguments: Mapping[str, Any]

    def accepts(self, answer: str) -> bool:
        """Compare the parsed call."""
        found = CALL.fullmatch(answer.strip())
        wanted = {"name": self.name, "arguments": dict(self.arguments)}
        return found is not None and _same(_parsed(found.group(1)), wanted)


@dataclass(frozen=True)
class Story:
    """A story with these words in it: enough sentences, none twice, ended properly."""

    words: tuple[str, ...] = ()
    least_sentences: int = 4
    most_words: int = 150

    def accepts(self, answer: str) -> bool:
        """Look for the words, and at the shape."""
        sentences = [each.strip() for each in SENTENCE.findall(answer)]
        named = all(re.search(rf"\b{word}\b", answer, re.IGNORECASE) for word in self.words)
        shaped = len(sentences) >= self.least_sentences and len(set(sentences)) == len(sentences)
        ended = answer.rstrip().endswith((".", "!", "?", '"'))
        return named and shaped and ended and 25 <= len(answer.split()) <= self.most_words


GRADERS: Mapping[str, type[Grader]] = {
    "exact": Exact,
    "number": Number,
    "letters": Letters,
    "says": Says,
    "entries": Entries,
    "json": Json,
    "call": Call,
    "story": Story,
}


def grader(expectation: Mapping[str, Any]) -> Grader:
    """Build the grader an item's `expect` describes: its `kind`, and that grader's fields."""
    fields = {key: value for key, value in expectation.items() if key != "kind"}
    frozen = {key: tuple(each) if isinstance(each, list) else each for key, each in fields.items()}
    if expectation["kind"] == "json":
        frozen = fields
    return GRADERS[expectation["kind"]](**frozen)


def _entry(line: str) -> str:
    found = ENTRY.fullmatch(line.strip())
    return found.group(1) if found else ""


def _parsed(text: str) -> object:
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return None


def _same(one: object, other: object) -> bool:
    """Equality of JSON values: the canonical texts agree, so `true`, `1` and `1.0` differ."""
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)
