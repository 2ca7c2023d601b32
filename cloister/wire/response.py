"""`POST /v1/responses`: what is asked and what is answered."""

from typing import Annotated, Any, Literal

from pydantic import Field

from cloister.wire.base import Answered, Asked, Metadata, Sampled
from cloister.wire.chat import NAME, JsonObjectFormat, ReasoningEffort, TextFormat
from cloister.wire.response_items import AnyItem, Role, Status

LOGPROBS = "message.output_text.logprobs"
"""The one thing that `include` can add."""

ItemId = Annotated[str, Field(min_length=1, max_length=128)]


class AskedText(Asked):
    """A part of a message; an earlier answer's may come back with its log-probabilities."""

    type: Literal["input_text", "output_text"]
    text: str
    annotations: Annotated[list[Any], Field(max_length=0)] | None = None
    logprobs: list[Any] | None = None


AskedContent = str | Annotated[list[AskedText], Field(fail_fast=True)]


class AskedMessage(Asked):
    type: Literal["message"] = "message"
    role: Role
    content: AskedContent
    id: ItemId | None = None
    status: Status | None = None


class AskedCall(Asked):
    """A call that an earlier answer made; `arguments` is a JSON object's text."""

    type: Literal["function_call"]
    call_id: ItemId
    name: str
    arguments: str
    id: ItemId | None = None
    status: Status | None = None


class AskedResult(Asked):
    type: Literal["function_call_output"]
    call_id: ItemId
    output: AskedContent
    id: ItemId | None = None
    status: Status | None = None


class AskedSummaryText(Asked):
    type: Literal["summary_text"]
    text: str


class AskedReasoningText(Asked):
    type: Literal["reasoning_text"]
    text: str


class AskedReasoning(Asked):
    """A thought of an earlier answer; its summary is not shown to the model."""

    type: Literal["reasoning"]
    id: ItemId | None = None
    summary: Annotated[list[AskedSummaryText], Field(fail_fast=True)] | None = None
    content: Annotated[list[AskedReasoningText], Field(fail_fast=True)] | None = None
    status: Status | None = None


AskedItem = AskedMessage | AskedCall | AskedResult | AskedReasoning


class FunctionTool(Asked):
    """What the model may call; `strict` is off unless asked for."""

    type: Literal["function"]
    name: Annotated[str, Field(pattern=NAME)]
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class NamedFunction(Asked):
    type: Literal["function"]
    name: str


class SchemaFormat(Asked):
    """`strict` changes nothing: the schema is always enforced."""

    type: Literal["json_schema"]
    name: Annotated[str, Field(pattern=NAME)]
    schema_: dict[str, Any] = Field(alias="schema")
    description: str | None = None
    strict: bool | None = None


Format = TextFormat | JsonObjectFormat | SchemaFormat


class TextConfig(Asked):
    format: Annotated[Format, Field(discriminator="type")] | None = None


class ReasoningConfig(Asked):
    effort: ReasoningEffort | None = None


class ResponseStreamOptions(Asked):
    include_obfuscation: bool | None = None


class ResponseRequest(Sampled):
    """`input` is a text, which is the user's message, or a list of items."""

    input: str | Annotated[list[AskedItem], Field(min_length=1)]
    instructions: str | None = None
    max_output_tokens: Annotated[int, Field(ge=1)] | None = None
    include: (
        Annotated[list[Literal["message.output_text.logprobs"]], Field(max_length=8)] | None
    ) = None
    top_logprobs: Annotated[int, Field(ge=0, le=20)] | None = None
    tools: Annotated[list[FunctionTool], Field(fail_fast=True, max_length=128)] | None = None
    tool_choice: Literal["none", "auto", "required"] | NamedFunction | None = None
    parallel_tool_calls: bool | None = None
    text: TextConfig | None = None
    reasoning: ReasoningConfig | None = None
    metadata: Metadata | None = None
    store: bool | None = None
    previous_response_id: ItemId | None = None
    stream_options: ResponseStreamOptions | None = None
    chat_template_kwargs: dict[str, Any] | None = None

    @property
    def format(self) -> Format | None:
        return None if self.text is None else self.text.format

    @property
    def effort(self) -> ReasoningEffort | None:
        return None if self.reasoning is None else self.reasoning.effort


class InputDetails(Answered):
    """`cache_write_tokens` is always 0: writing to the cache is nothing that is counted."""

    cached_tokens: int
    cache_write_tokens: int = 0


class OutputDetails(Answered):
    reasoning_tokens: int


class ResponseUsage(Answered):
    input_tokens: int
    input_tokens_details: InputDetails
    output_tokens: int
    output_tokens_details: OutputDetails
    total_tokens: int


class IncompleteDetails(Answered):
    reason: Literal["max_output_tokens"] = "max_output_tokens"


ErrorCode = Literal["server_error", "rate_limit_exceeded"]


class ResponseError(Answered):
    code: ErrorCode
    message: str


class Reasoning(Answered):
    effort: ReasoningEffort | None
    summary: None = None


class ResponseBody(Answered):
    """A response, whole or as far as it is; it repeats what was asked, with defaults filled in."""

    id: str
    object: Literal["response"] = "response"
    created_at: int
    completed_at: int | None = None
    status: Literal["in_progress", "completed", "incomplete", "failed"] = "in_progress"
    background: Literal[False] = False
    error: ResponseError | None = None
    incomplete_details: IncompleteDetails | None = None
    instructions: str | None
    max_output_tokens: int | None
    metadata: dict[str, str]
    model: str
    output: tuple[AnyItem, ...] = ()
    parallel_tool_calls: bool
    previous_response_id: str | None
    reasoning: Reasoning
    store: bool
    temperature: float
    text: TextConfig
    tool_choice: Literal["none", "auto", "required"] | NamedFunction
    tools: tuple[FunctionTool, ...]
    top_logprobs: int
    top_p: float
    truncation: Literal["disabled"] = "disabled"
    usage: ResponseUsage | None = None
    user: str | None


class Deleted(Answered):
    id: str
    object: Literal["response"] = "response"
    deleted: Literal[True] = True
