"""`POST /v1/messages` and `/v1/messages/count_tokens`: what is asked, in Anthropic's form.

Fields that Anthropic knows are named here even if only their neutral value is taken.
"""

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag

from cloister.wire.base import Asked, StopStrings
from cloister.wire.chat import NAME

TOOLS = 128


class CacheControl(Asked):
    """Where Anthropic would cache. Here prefixes are always found again, so it changes nothing."""

    type: Literal["ephemeral"]
    ttl: Literal["5m", "1h"] | None = None


class Cacheable(Asked):
    cache_control: CacheControl | None = None


class TextBlock(Cacheable):
    type: Literal["text"]
    text: str
    citations: Annotated[list[Any], Field(max_length=0)] | None = None


class ThinkingBlock(Asked):
    """A thought of an earlier answer. Ours are not signed, and no signature is read."""

    type: Literal["thinking"]
    thinking: str
    signature: str


class DirectCaller(Asked):
    type: Literal["direct"]


class ToolUseBlock(Cacheable):
    """A call that an earlier answer made."""

    type: Literal["tool_use"]
    id: Annotated[str, Field(min_length=1)]
    name: str
    input: dict[str, Any]
    caller: DirectCaller | None = None
    toolset_name: None = None


def _form(value: Any) -> str:
    return "text" if isinstance(value, str) else "blocks"


Text = Annotated[
    Annotated[str, Tag("text")] | Annotated[list[TextBlock], Field(fail_fast=True), Tag("blocks")],
    Discriminator(_form),
]
"""A text, or blocks of text."""


class ToolResultBlock(Cacheable):
    type: Literal["tool_result"]
    tool_use_id: str
    content: Text = ""
    is_error: bool | None = None
    toolset_name: None = None


UserBlock = Annotated[TextBlock | ToolResultBlock, Field(discriminator="type")]
AssistantBlock = Annotated[TextBlock | ThinkingBlock | ToolUseBlock, Field(discriminator="type")]
UserContent = Annotated[
    Annotated[str, Tag("text")]
    | Annotated[list[UserBlock], Field(fail_fast=True, min_length=1), Tag("blocks")],
    Discriminator(_form),
]
AssistantContent = Annotated[
    Annotated[str, Tag("text")]
    | Annotated[list[AssistantBlock], Field(fail_fast=True), Tag("blocks")],
    Discriminator(_form),
]


class UserMessage(Asked):
    role: Literal["user"]
    content: UserContent


class AssistantMessage(Asked):
    role: Literal["assistant"]
    content: AssistantContent


class SystemMessage(Asked):
    """An instruction within the conversation."""

    role: Literal["system"]
    content: Text


Message = Annotated[UserMessage | AssistantMessage | SystemMessage, Field(discriminator="role")]


class Tool(Cacheable):
    """A tool of the client's; those that a server runs have other types."""

    type: Literal["custom"] | None = None
    name: Annotated[str, Field(pattern=NAME)]
    description: str | None = None
    input_schema: dict[str, Any]
    strict: bool | None = None
    eager_input_streaming: bool | None = None  # inputs always stream as they grow
    defer_loading: Literal[False] | None = None
    allowed_callers: list[Literal["direct"]] | None = None


class AutoChoice(Asked):
    type: Literal["auto"]
    disable_parallel_tool_use: bool | None = None


class AnyChoice(Asked):
    type: Literal["any"]
    disable_parallel_tool_use: bool | None = None


class ToolChoice(Asked):
    type: Literal["tool"]
    name: str
    disable_parallel_tool_use: bool | None = None


class NoChoice(Asked):
    type: Literal["none"]


class ThinkingOn(Asked):
    """A thought ends at the budget, if the model does not end it before."""

    type: Literal["enabled"]
    budget_tokens: Annotated[int, Field(ge=1)]
    display: None = None


class ThinkingFree(Asked):
    """The model decides."""

    type: Literal["adaptive"]
    display: None = None


class ThinkingOff(Asked):
    type: Literal["disabled"]


class JsonFormat(Asked):
    type: Literal["json_schema"]
    schema_: dict[str, Any] = Field(alias="schema")


class OutputConfig(Asked):
    effort: Literal["high"] | None = None  # Anthropic's own default
    format: JsonFormat | None = None


class Metadata(Asked):
    user_id: str | None = None


class CountRequest(Cacheable):
    """All that makes a prompt."""

    model: str
    messages: Annotated[list[Message], Field(fail_fast=True, min_length=1)]
    system: Text | None = None
    tools: Annotated[list[Tool], Field(fail_fast=True, max_length=TOOLS)] | None = None
    tool_choice: (
        Annotated[AutoChoice | AnyChoice | ToolChoice | NoChoice, Field(discriminator="type")]
        | None
    ) = None
    thinking: (
        Annotated[ThinkingOn | ThinkingFree | ThinkingOff, Field(discriminator="type")] | None
    ) = None
    output_config: OutputConfig | None = None
    speed: Literal["standard"] | None = None
    user_profile_id: None = None
    workspace_id: None = None


class MessageRequest(CountRequest):
    max_tokens: Annotated[int, Field(ge=1)]
    stream: bool | None = None
    stop_sequences: StopStrings | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    top_k: Annotated[int, Field(ge=0)] | None = None
    metadata: Metadata | None = None
    service_tier: Literal["auto", "standard_only"] | None = None
    container: None = None
    diagnostics: None = None
    inference_geo: None = None
