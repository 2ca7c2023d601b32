"""`POST /v1/chat/completions`: what is asked and what is answered."""

from typing import Annotated, Literal

from pydantic import Field

from cloister.wire.base import Answered, Asked, Generation, Usage
from cloister.wire.logprobs import ChatLogprobs

FinishReason = Literal["stop", "length"]


class TextPart(Asked):
    type: Literal["text"]
    text: str


Content = str | Annotated[list[TextPart], Field(fail_fast=True, min_length=1)]


class SystemMessage(Asked):
    role: Literal["system"]
    content: Content
    name: str | None = None


class DeveloperMessage(Asked):
    """OpenAI's newer word for the system."""

    role: Literal["developer"]
    content: Content
    name: str | None = None


class UserMessage(Asked):
    role: Literal["user"]
    content: Content
    name: str | None = None


class AssistantMessage(Asked):
    role: Literal["assistant"]
    content: Content
    name: str | None = None


class ToolMessage(Asked):
    role: Literal["tool"]
    content: Content
    tool_call_id: str | None = None


AnyMessage = Annotated[
    SystemMessage | DeveloperMessage | UserMessage | AssistantMessage | ToolMessage,
    Field(discriminator="role"),
]


class ResponseFormat(Asked):
    type: Literal["text"]


class ChatRequest(Generation):
    messages: Annotated[list[AnyMessage], Field(fail_fast=True, min_length=1)]
    max_completion_tokens: Annotated[int, Field(ge=1)] | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Field(ge=0, le=20)] | None = None
    response_format: ResponseFormat | None = None
    metadata: dict[str, str] | None = None


class ChatMessage(Answered):
    role: Literal["assistant"] = "assistant"
    content: str
    refusal: None = None


class ChatChoice(Answered):
    index: int
    message: ChatMessage
    logprobs: ChatLogprobs | None = None
    finish_reason: FinishReason


class ChatAnswer(Answered):
    id: str
    object: Literal["chat.completion"] = "chat.completion"
    created: int
    model: str
    system_fingerprint: str
    choices: list[ChatChoice]
    usage: Usage


class ChatDelta(Answered):
    role: Literal["assistant"] | None = None
    content: str | None = None


class ChatChunkChoice(Answered):
    index: int
    delta: ChatDelta
    logprobs: ChatLogprobs | None = None
    finish_reason: FinishReason | None


class ChatChunk(Answered):
    """One event of a stream. `usage` is there only when asked for, and set in the last one.

    `obfuscation` is there only when asked for; it means nothing and hides the event's length.
    """

    id: str
    object: Literal["chat.completion.chunk"]
    created: int
    model: str
    system_fingerprint: str
    choices: list[ChatChunkChoice]
    obfuscation: str | None = None
    usage: Usage | None = None
