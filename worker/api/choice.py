"""One choice of an answer: from the engine's tokens to the pieces that the client is told."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from cloister.wire.chat import ChatFinishReason
from worker.api.entries import Entries, Entry
from worker.api.parts import Call, Part, Reader
from worker.engine.request import Finish, Grammar, Logprob, Request, Token


@dataclass(frozen=True, slots=True)
class Piece:
    """Some of a choice's parts, with the entries of tokens; None where none were asked for.

    `generated` counts the choice's tokens up to this piece; `stop_string` is the one that ended
    the choice, if one did.
    """

    index: int
    parts: tuple[Part, ...] = field(default=(), repr=False)
    entries: tuple[Entry, ...] | None = field(default=None, repr=False)
    finish: ChatFinishReason | None = None
    generated: int = 0
    stop_string: str | None = field(default=None, repr=False)

    def parted(self) -> "list[Piece]":
        """A piece for each part, the first with the entries; without the end."""
        pieces = [replace(self, parts=(part,), finish=None) for part in self.parts]
        return pieces[:1] + [replace(piece, entries=None) for piece in pieces[1:]]


def joined(pieces: Sequence[Piece]) -> Piece:
    """All of a choice as one piece."""
    last = pieces[-1]
    parts = tuple(part for piece in pieces for part in piece.parts)
    if last.entries is None:
        return replace(last, parts=parts)
    entries = tuple(entry for piece in pieces for entry in piece.entries or ())
    return replace(last, parts=parts, entries=entries)


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

    `reader` parts the text; entries wait until a part shows, or for the end. `first` is the first
    choice of the same prompt, which alone hears how probable the prompt is.
    """

    def __init__(
        self,
        request: Request,
        opening: Opening,
        reader: Reader,
        entries: Entries | None = None,
        first: "Choice | None" = None,
    ) -> None:
        self.request = request
        self.generated = 0
        self.cached = 0
        self._opening = opening
        self._reader = reader
        self._has_calls = False
        self._entries = entries
        self._first = first or self
        self._prompt: tuple[Logprob, ...] = ()
        self._heard: list[tuple[int, Logprob | None]] = []
        self._told = 0
        self._waiting: tuple[Entry, ...] = ()
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
            parts = tuple(self._reader.push(echo))
            return Piece(index, parts, self._due(entries, at_once=True), "length")
        self.generated = token.generated
        parts = self._parts(echo + self._text(token), ends=token.finish is not None)
        entries += self._settled(token.settled)
        due = self._due(entries, at_once=bool(parts or token.finish))
        reason = self._reason(token.finish)
        return Piece(index, parts, due, reason, token.generated, token.stop_string)

    def hold(self, grammar: Grammar) -> None:
        """Hold the choice to a grammar, before it is submitted."""
        self.request = replace(self.request, grammar=grammar)

    def _parts(self, text: str, *, ends: bool) -> tuple[Part, ...]:
        parts = (*self._reader.push(text), *(self._reader.end() if ends else ()))
        self._has_calls |= any(isinstance(part, Call) for part in parts)
        return parts

    def _reason(self, finish: Finish | None) -> ChatFinishReason | None:
        """OpenAI's `finish_reason`."""
        match finish:
            case None:
                return None
            case Finish.LENGTH:
                return "length"
            case Finish.STOP:
                return "tool_calls" if self._has_calls else "stop"

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

    def _due(self, new: tuple[Entry, ...], *, at_once: bool) -> tuple[Entry, ...] | None:
        """What is told now, in the order of the tokens; None if nothing was asked for."""
        due = self._waiting + new
        self._waiting = () if at_once else due
        if self._entries is None:
            return None
        return due if at_once else ()

    def _text(self, token: Token) -> str:
        if not self._drop_space or not token.text:
            return token.text
        self._drop_space = False
        return token.text.removeprefix(" ")
