"""What a client is told about single tokens: their text, bytes, place and log-probabilities."""

import codecs
from dataclasses import dataclass, field

from worker.api.tokenizer import Tokenizer
from worker.engine.request import Logprob

LEAST = -9999.0
"""Stands for values below it, as OpenAI writes it; JSON has no minus infinity."""


@dataclass(frozen=True, slots=True)
class Word:
    """A token as a client sees it. `data` is its own part of the text's UTF-8, b"" for a control
    token, and `text` shows it: half a character as `bytes:\\xf0\\x9f`, a control token by name."""

    text: str = field(repr=False)
    data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Entry:
    """One token of an answer, or of an echoed prompt, whose first token has no log-probability.

    `offset` is where it begins, in characters of the choice's text.
    """

    word: Word
    logprob: float | None
    top: tuple[tuple[Word, float], ...]
    offset: int


class Entries:
    """Makes the entries of one choice, in the order of its text."""

    def __init__(self, tokenizer: Tokenizer, *, drop_first_space: bool, echo: str = "") -> None:
        self._tokenizer = tokenizer
        self._drop_space = drop_first_space
        self._echo = echo
        self._offset = 0
        self._characters = codecs.getincrementaldecoder("utf-8")("replace")

    def add(self, id: int, logprob: Logprob | None) -> Entry:
        """The next token's entry."""
        top = () if logprob is None else logprob.top
        entry = Entry(
            word=self._spelled(id) or self._word(id),
            logprob=None if logprob is None else max(LEAST, logprob.value),
            top=tuple((self._word(other), max(LEAST, value)) for other, value in top),
            offset=self._offset,
        )
        self._drop_space = self._drop_space and not self._tokenizer.bytes_of(id)
        self._offset += len(self._characters.decode(entry.word.data))
        return entry

    def _spelled(self, id: int) -> Word | None:
        """A control token that the echoed prompt spells is text there."""
        name = self._tokenizer.name_of(id)
        is_control = name and not self._tokenizer.bytes_of(id)
        if is_control and self._echo.startswith(name, self._offset):
            return Word(name, name.encode())
        return None

    def _word(self, id: int) -> Word:
        data = self._tokenizer.bytes_of(id)
        if not data:
            return Word(self._tokenizer.name_of(id), b"")
        if self._drop_space:
            data = data.removeprefix(b" ")
        try:
            return Word(data.decode(), data)
        except UnicodeDecodeError:
            return Word("bytes:" + "".join(f"\\x{byte:02x}" for byte in data), data)
