"""One choice of an answer: from the engine's tokens to the pieces that the client is told."""

from dataclasses import dataclass, field

from worker.api.entries import Entries, Entry
from worker.engine.request import Finish, Logprob, Request, Token


@dataclass(frozen=True, slots=True)
class Piece:
    """Some of a choice's text, with the entries of its tokens; None where none were asked for."""

    index: int
    text: str = field(repr=False)
    entries: tuple[Entry, ...] | None = field(default=None, repr=False)
    finish: Finish | None = None


@dataclass(frozen=True, slots=True)
class Opening:
    """How a choice's text begins.

    `echo` is the prompt where it is to be repeated; with `alone`, nothing follows it. A first
    space is left out where decoders of the SentencePiece kind do so.
    """

    echo: str = field(default="", repr=False)
    alone: bool = False
    drop_first_space: bool = False


class Choice:
    """Assembles one sequence's answer; `generated` and `cached` count its tokens so far.

    `first` is the first choice of the same prompt, which alone hears how probable the prompt is.
    """

    def __init__(
        self,
        request: Request,
        opening: Opening,
        entries: Entries | None = None,
        first: "Choice | None" = None,
    ) -> None:
        self.request = request
        self.generated = 0
        self.cached = 0
        self._opening = opening
        self._entries = entries
        self._first = first or self
        self._prompt: tuple[Logprob, ...] = ()
        self._heard: list[tuple[int, Logprob | None]] = []
        self._told = 0
        self._drop_space = opening.drop_first_space

    @property
    def mean_logprob(self) -> float:
        """Of all generated tokens, the end included."""
        values = [logprob.value for _, logprob in self._heard if logprob is not None]
        return sum(values) / max(1, len(values))

    def add(self, index: int, token: Token) -> Piece:
        """What is told with this token, under the choice's `index`."""
        is_first = not self._heard
        self._heard.append((token.id, token.logprob))
        self._prompt = token.prompt or self._prompt
        self.cached = token.cached
        echo = self._opening.echo if is_first else ""
        entries = self._echoed() if is_first else ()
        if self._opening.alone:
            return Piece(index, echo, self._asked(entries), Finish.LENGTH)
        self.generated = token.generated
        entries += self._settled(token.settled)
        return Piece(index, echo + self._text(token), self._asked(entries), token.finish)

    def _echoed(self) -> tuple[Entry, ...]:
        """The prompt's entries: its first token follows nothing, so it has no log-probability."""
        if self._entries is None or not self._first.request.scores_prompt:
            return ()
        scores = (None, *self._first._prompt)
        pairs = zip(self.request.prompt, scores, strict=True)
        return tuple(self._entries.add(id, score) for id, score in pairs)

    def _settled(self, count: int) -> tuple[Entry, ...]:
        if self._entries is None:
            return ()
        new = self._heard[self._told : count]
        self._told = count
        return tuple(self._entries.add(id, logprob) for id, logprob in new)

    def _asked(self, entries: tuple[Entry, ...]) -> tuple[Entry, ...] | None:
        return None if self._entries is None else entries

    def _text(self, token: Token) -> str:
        if not self._drop_space or not token.text:
            return token.text
        self._drop_space = False
        return token.text.removeprefix(" ")
