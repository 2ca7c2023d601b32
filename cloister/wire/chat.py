"""`POST /v1/chat/completions`: what is asked and what is answered."""

from typing import Annotated, Any, Literal

from pydantic import Field

from cloister.wire.base import Answered, Asked, Generation, Metadata, Usage
from cloister.wire.logprobs import ChatLogprobs

FinishReason = Literal["stop", "length"]
ChatFinishReason = Literal["stop", "length", "tool_calls"]


class TextPart(Asked):
    type: Literal["text"]
    text: str


NAME = r"^[a-zA-Z0-9_-]{1,64}$"
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


class CalledFunction(Asked):
    name: str
    arguments: str


class ToolCall(Asked):
    """A call that an earlier answer made; `arguments` is a JSON object's text."""

    id: str
    type: Literal["function"] = "function"
    function: CalledFunction


class AssistantMessage(Asked):
    """`content` may be left out only beside `tool_calls`."""

    role: Literal["assistant"]
    content: Content | None = None
    name: str | None = None
    tool_calls: Annotated[list[ToolCall], Field(fail_fast=True, max_length=128)] | None = None
    reasoning_content: str | None = None


class ToolMessage(Asked):
    role: Literal["tool"]
    content: Content
    tool_call_id: str | None = None


AnyMessage = Annotated[
    SystemMessage | DeveloperMessage | UserMessage | AssistantMessage | ToolMessage,
    Field(discriminator="role"),
]


class TextFormat(Asked):
    type: Literal["text"]


class JsonObjectFormat(Asked):
    type: Literal["json_object"]


class JsonSchema(Asked):
    """`strict` changes nothing: the schema is always enforced."""

    name: Annotated[str, Field(pattern=NAME)]
    description: str | None = None
    schema_: dict[str, Any] | None = Field(None, alias="schema")
    strict: bool | None = None


class JsonSchemaFormat(Asked):
    type: Literal["json_schema"]
    json_schema: JsonSchema


ResponseFormat = Annotated[
    TextFormat | JsonObjectFormat | JsonSchemaFormat, Field(discriminator="type")
]


class Function(Asked):
    """What the model may call; `parameters` is the JSON schema of an object."""

    name: Annotated[str, Field(pattern=NAME)]
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class Tool(Asked):
    type: Literal["function"]
    function: Function


class FunctionName(Asked):
    name: str


class NamedTool(Asked):
    type: Literal["function"]
    function: FunctionName


ToolChoice = Literal["none", "auto", "required"] | NamedTool
ReasoningEffort = Literal["none", "minimal", "low", "medium", "high", "xhigh"]


class ChatRequest(Generation):
    messages: Annotated[list[AnyMessage], Field(fail_fast=True, min_length=1)]
    max_completion_tokens: Annotated[int, Field(ge=1)] | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Field(ge=0, le=20)] | None = None
    response_format: ResponseFormat | None = None
    tools: Annotated[list[Tool], Field(fail_fast=True, max_length=128)] | None = None
    tool_choice: ToolChoice | None = None
    parallel_tool_calls: bool | None = None
    reasoning_effort: ReasoningEffort | None = None
    thinking_token_budget: Annotated[int, Field(ge=0)] | None = None
    chat_template_kwargs: dict[str, Any] | None = None
    metadata: Metadata | None = None


class MadeFunction(Answered):
    name: str
    arguments: str


class MadeCall(Answered):
    id: str
    type: Literal["function"] = "function"
    function: MadeFunction


class ChatMessage(Answered):
    """`tool_calls` and `reasoning_content` are left out where there are none."""

    role: Literal["assistant"] = "assistant"
    content: str | None
    refusal: None = None
    reasoning_content: str | None = None
    tool_calls: list[MadeCall] | None = None


class ChatChoice(Answered):
    index: int
    message: ChatMessage
    logprobs: ChatLogprobs | None = None
    finish_reason: ChatFinishReason


class ChatAnswer(Answered):
    id: str
    object: Literal["chat.completion"] = "chat.completion"
    created: int
    model: str
    system_fingerprint: str
    choices: list[ChatChoice]
    usage: Usage


class FunctionDelta(Answered):
    name: str | None = None
    arguments: str


class CallDelta(Answered):
    """`id`, `type` and the name come once, with the call's first delta."""

    index: int
    id: str | None = None
    type: Literal["function"] | None = None
    function: FunctionDelta


class ChatDelta(Answered):
    role: Literal["assistant"] | None = None
    content: str | None = None
    reasoning_content: str | None = None
    tool_calls: list[CallDelta] | None = None


class ChatChunkChoice(Answered):
    index: int
    delta: ChatDelta
    logprobs: ChatLogprobs | None = None
    finish_reason: ChatFinishReason | None


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
