"""What `/v1/messages` answers: a message, or the events that make one. Anthropic's form."""

from typing import Any, Literal

from pydantic import RootModel

from cloister.wire.base import Answered

StopReason = Literal["end_turn", "max_tokens", "stop_sequence", "tool_use"]


class Text(Answered):
    type: Literal["text"] = "text"
    text: str


class Thinking(Answered):
    """`signature` is empty: nobody but the client will read the thought again."""

    type: Literal["thinking"] = "thinking"
    thinking: str
    signature: str = ""


class ToolUse(Answered):
    type: Literal["tool_use"] = "tool_use"
    id: str
    name: str
    input: dict[str, Any]


Block = Text | Thinking | ToolUse


class InputTokens(Answered):
    input_tokens: int


class MessageUsage(InputTokens):
    """`input_tokens` counts those found in the prefix cache too."""

    output_tokens: int


class MessageAnswer(Answered):
    id: str
    type: Literal["message"] = "message"
    role: Literal["assistant"] = "assistant"
    model: str
    content: list[Block]
    stop_reason: StopReason | None
    stop_sequence: str | None
    usage: MessageUsage


class MessageStart(Answered):
    type: Literal["message_start"] = "message_start"
    message: MessageAnswer


class BlockStart(Answered):
    type: Literal["content_block_start"] = "content_block_start"
    index: int
    content_block: Block


class TextDelta(Answered):
    type: Literal["text_delta"] = "text_delta"
    text: str


class ThinkingDelta(Answered):
    type: Literal["thinking_delta"] = "thinking_delta"
    thinking: str


class SignatureDelta(Answered):
    type: Literal["signature_delta"] = "signature_delta"
    signature: str = ""


class InputDelta(Answered):
    type: Literal["input_json_delta"] = "input_json_delta"
    partial_json: str


class BlockDelta(Answered):
    type: Literal["content_block_delta"] = "content_block_delta"
    index: int
    delta: TextDelta | ThinkingDelta | SignatureDelta | InputDelta


class BlockStop(Answered):
    type: Literal["content_block_stop"] = "content_block_stop"
    index: int


class Stop(Answered):
    stop_reason: StopReason
    stop_sequence: str | None


class MessageDelta(Answered):
    """`usage` is that of the whole answer."""

    type: Literal["message_delta"] = "message_delta"
    delta: Stop
    usage: MessageUsage


class MessageStop(Answered):
    type: Literal["message_stop"] = "message_stop"


class Ping(Answered):
    type: Literal["ping"] = "ping"


class MessageError(Answered):
    type: str
    message: str


class MessageErrorBody(Answered):
    """An answer that is no success, and the event that ends a stream that broke."""

    type: Literal["error"] = "error"
    error: MessageError
    request_id: str | None = None


Event = MessageStart | BlockStart | BlockDelta | BlockStop | MessageDelta | MessageStop | Ping


class MessageEvent(RootModel[Event | MessageErrorBody]):
    """Any event of a stream."""
