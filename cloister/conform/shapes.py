"""OpenAI's answers as strict types: members that clients read must be there, and be of their type.

Further members are welcome; null stands only where OpenAI sends null.
"""

from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from cloister.conform.check import Fault

Natural = Annotated[int, Field(ge=0)]
Finish = Literal["stop", "length", "tool_calls", "content_filter", "function_call"]


class Shape(BaseModel):
    model_config = ConfigDict(extra="allow", strict=True, hide_input_in_errors=True)


class Error(Shape):
    message: str = Field(min_length=1)
    type: str
    param: str | None
    code: str | None


class ErrorBody(Shape):
    error: Error


class Model(Shape):
    id: str
    object: Literal["model"]
    created: Natural
    owned_by: str


class ModelList(Shape):
    object: Literal["list"]
    data: Annotated[list[Model], Field(min_length=1)]


class Usage(Shape):
    prompt_tokens: Annotated[int, Field(ge=1)]
    completion_tokens: Natural
    total_tokens: Natural


class Top(Shape):
    token: str
    logprob: Annotated[float, Field(le=0)]
    bytes: list[Annotated[int, Field(ge=0, le=255)]] | None


class Entry(Top):
    top_logprobs: list[Top]


class ChatLogprobs(Shape):
    content: list[Entry] | None


class Function(Shape):
    name: str
    arguments: str


class Call(Shape):
    id: str = Field(min_length=1)
    type: Literal["function"]
    function: Function


class Message(Shape):
    role: Literal["assistant"]
    content: str | None
    tool_calls: list[Call] | None = None


class ChatChoice(Shape):
    index: Natural
    message: Message
    logprobs: ChatLogprobs | None = None
    finish_reason: Finish


class Chat(Shape):
    id: str = Field(min_length=1)
    object: Literal["chat.completion"]
    created: Natural
    model: str
    choices: Annotated[list[ChatChoice], Field(min_length=1)]
    usage: Usage


class FunctionDelta(Shape):
    name: str | None = None
    arguments: str | None = None


class CallDelta(Shape):
    index: Natural
    id: str | None = None
    type: Literal["function"] | None = None
    function: FunctionDelta | None = None


class Delta(Shape):
    role: Literal["assistant"] | None = None
    content: str | None = None
    tool_calls: list[CallDelta] | None = None


class ChunkChoice(Shape):
    index: Natural
    delta: Delta
    logprobs: ChatLogprobs | None = None
    finish_reason: Finish | None = None


class Chunk(Shape):
    id: str = Field(min_length=1)
    object: Literal["chat.completion.chunk"]
    created: Natural
    model: str
    choices: list[ChunkChoice]
    usage: Usage | None = None


class TextLogprobs(Shape):
    tokens: list[str]
    token_logprobs: list[float | None]
    top_logprobs: list[dict[str, float] | None]
    text_offset: list[Natural]


class TextChoice(Shape):
    index: Natural
    text: str
    logprobs: TextLogprobs | None = None
    finish_reason: Literal["stop", "length", "content_filter"]


class Text(Shape):
    id: str = Field(min_length=1)
    object: Literal["text_completion"]
    created: Natural
    model: str
    choices: Annotated[list[TextChoice], Field(min_length=1)]
    usage: Usage


class TextChunkChoice(Shape):
    index: Natural
    text: str
    logprobs: TextLogprobs | None = None
    finish_reason: Literal["stop", "length", "content_filter"] | None = None


class TextChunk(Shape):
    id: str = Field(min_length=1)
    object: Literal["text_completion"]
    created: Natural
    model: str
    choices: list[TextChunkChoice]
    usage: Usage | None = None


Any_ = TypeVar("Any_", bound=Shape)


def read(shape: type[Any_], value: Any) -> Any_:
    """`value` as its type. Raises `Fault` that names the place, never the value."""
    try:
        return shape.model_validate(value)
    except ValidationError as error:
        fault = error.errors()[0]
        place = ".".join(map(str, fault["loc"])) or "the body"
        raise Fault(f"{place}: {fault['msg']}") from None
