"""Answers of `/v1/messages` as bytes: blocks in the order in which they were generated."""

from collections.abc import Iterator, Sequence
from itertools import chain

from pydantic_core import from_json

from cloister import anthropic
from cloister.errors import CloisterError, InternalError
from cloister.wire.base import Usage
from cloister.wire.message_events import (
    Block,
    BlockDelta,
    BlockStart,
    BlockStop,
    Event,
    InputDelta,
    MessageAnswer,
    MessageDelta,
    MessageStart,
    MessageStop,
    MessageUsage,
    Ping,
    SignatureDelta,
    Stop,
    StopReason,
    Text,
    TextDelta,
    Thinking,
    ThinkingDelta,
    ToolUse,
)
from worker.api.choice import Piece, joined
from worker.api.parts import Arguments, Call, Content, Part, Reasoning


class MessageFrames:
    """One answer of one choice. The events of a stream stand for the same blocks as the whole.

    Raises `InternalError` when a call ends whose arguments are no JSON: an empty input would look
    like the model's wish.
    """

    ping = anthropic.event(Ping().model_dump())
    done = b""

    def __init__(self, id: str, model: str, input_tokens: int) -> None:
        self._id = id
        self._model = model
        self._input_tokens = input_tokens
        self._index = -1
        self._block: Block | None = None
        self._arguments = ""
        self._stop: Stop

    def begin(self) -> bytes:
        usage = MessageUsage(input_tokens=self._input_tokens, output_tokens=0)
        return _event(MessageStart(message=self._message([], usage)))

    def first(self, piece: Piece) -> bytes:
        return self.part(piece)

    def part(self, piece: Piece) -> bytes:
        return b"".join(chain.from_iterable(map(self._told, piece.parts)))

    def end(self, piece: Piece) -> bytes:
        self._stop = _stop(piece)
        return b"".join(self._close())

    def usage(self, usage: Usage) -> bytes:
        return _event(MessageDelta(delta=self._stop, usage=_usage(usage))) + _event(MessageStop())

    def failure(self, error: CloisterError) -> bytes:
        return anthropic.event(anthropic.error_body(error))

    def whole(self, told: Sequence[Sequence[Piece]], usage: Usage) -> bytes:
        piece = joined(told[0])
        answer = self._message(_blocks(piece.parts), _usage(usage), _stop(piece))
        return answer.model_dump_json().encode()

    def _message(
        self, content: list[Block], usage: MessageUsage, stop: Stop | None = None
    ) -> MessageAnswer:
        return MessageAnswer(
            id=self._id,
            model=self._model,
            content=content,
            stop_reason=None if stop is None else stop.stop_reason,
            stop_sequence=None if stop is None else stop.stop_sequence,
            usage=usage,
        )

    def _told(self, part: Part) -> Iterator[bytes]:
        if not isinstance(part, Arguments) and not _continues(self._block, part):
            yield from self._close()
            self._index, self._block = self._index + 1, _begun(part)
            yield _event(BlockStart(index=self._index, content_block=self._block))
        if isinstance(part, Arguments):
            self._arguments += part.text
        if not isinstance(part, Call):
            yield _event(BlockDelta(index=self._index, delta=_delta(part)))

    def _close(self) -> Iterator[bytes]:
        if self._block is None:
            return
        if isinstance(self._block, Thinking):
            yield _event(BlockDelta(index=self._index, delta=SignatureDelta()))
        if isinstance(self._block, ToolUse):
            _input(self._arguments)
            self._arguments = ""
        yield _event(BlockStop(index=self._index))
        self._block = None


def _blocks(parts: Sequence[Part]) -> list[Block]:
    blocks: list[Block] = []
    texts: list[str] = []
    for part in parts:
        if not isinstance(part, Arguments) and not _continues(blocks[-1] if blocks else None, part):
            blocks.append(_begun(part))
            texts.append("")
        texts[-1] += "" if isinstance(part, Call) else part.text
    return [_filled(block, text) for block, text in zip(blocks, texts, strict=True)]


def _continues(block: Block | None, part: Content | Reasoning | Call) -> bool:
    kinds = {Content: Text, Reasoning: Thinking}
    return block is not None and kinds.get(type(part)) is type(block)


def _begun(part: Content | Reasoning | Call) -> Block:
    match part:
        case Content():
            return Text(text="")
        case Reasoning():
            return Thinking(thinking="")
        case Call(_, id, name):
            return ToolUse(id=id, name=name, input={})


def _filled(block: Block, text: str) -> Block:
    match block:
        case Text():
            return Text(text=text)
        case Thinking():
            return Thinking(thinking=text)
        case ToolUse(id=id, name=name):
            return ToolUse(id=id, name=name, input=_input(text))


def _delta(part: Content | Reasoning | Arguments) -> TextDelta | ThinkingDelta | InputDelta:
    match part:
        case Content(text):
            return TextDelta(text=text)
        case Reasoning(text):
            return ThinkingDelta(thinking=text)
        case Arguments(_, text):
            return InputDelta(partial_json=text)


def _input(arguments: str) -> dict[str, object]:
    """A call's arguments; of an answer that was cut, as far as they go, as the SDK reads them."""
    try:
        value = from_json(arguments or "{}", allow_partial=True)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise InternalError("the model wrote a call whose input is no JSON object")
    return value


def _stop(piece: Piece) -> Stop:
    reason: StopReason
    match piece.finish:
        case "length":
            reason = "max_tokens"
        case _ if piece.stop_string is not None:
            return Stop(stop_reason="stop_sequence", stop_sequence=piece.stop_string)
        case "tool_calls":
            reason = "tool_use"
        case _:
            reason = "end_turn"
    return Stop(stop_reason=reason, stop_sequence=None)


def _usage(usage: Usage) -> MessageUsage:
    return MessageUsage(input_tokens=usage.prompt_tokens, output_tokens=usage.completion_tokens)


def _event(event: Event) -> bytes:
    return anthropic.event(event.model_dump())
