"""The events of a streamed response; each type's name is its event's name too."""

from typing import Annotated, Literal

from pydantic import Field, RootModel

from cloister.wire.base import Answered
from cloister.wire.logprobs import TokenLogprob
from cloister.wire.response import ResponseBody
from cloister.wire.response_items import AnyItem, OutputText, ReasoningText

Lifecycle = Literal[
    "response.created",
    "response.in_progress",
    "response.completed",
    "response.incomplete",
    "response.failed",
]


class Event(Answered):
    """Numbers are contiguous from 0 within a stream."""

    sequence_number: int


class LifecycleEvent(Event):
    type: Lifecycle
    response: ResponseBody


class ItemEvent(Event):
    type: Literal["response.output_item.added", "response.output_item.done"]
    output_index: int
    item: AnyItem


class PartEvent(Event):
    type: Literal["response.content_part.added", "response.content_part.done"]
    item_id: str
    output_index: int
    content_index: int = 0
    part: Annotated[OutputText | ReasoningText, Field(discriminator="type")]


class DeltaEvent(Event):
    """More of an item's text. `obfuscation` is there only when asked for."""

    item_id: str
    output_index: int
    delta: str
    obfuscation: str | None = None


class TextDelta(DeltaEvent):
    type: Literal["response.output_text.delta"] = "response.output_text.delta"
    content_index: int = 0
    logprobs: tuple[TokenLogprob, ...]


class ReasoningDelta(DeltaEvent):
    type: Literal["response.reasoning_text.delta"] = "response.reasoning_text.delta"
    content_index: int = 0


class ArgumentsDelta(DeltaEvent):
    type: Literal["response.function_call_arguments.delta"] = (
        "response.function_call_arguments.delta"
    )


class TextDone(Event):
    type: Literal["response.output_text.done"] = "response.output_text.done"
    item_id: str
    output_index: int
    content_index: int = 0
    text: str
    logprobs: tuple[TokenLogprob, ...]


class ReasoningDone(Event):
    type: Literal["response.reasoning_text.done"] = "response.reasoning_text.done"
    item_id: str
    output_index: int
    content_index: int = 0
    text: str


class ArgumentsDone(Event):
    type: Literal["response.function_call_arguments.done"] = "response.function_call_arguments.done"
    item_id: str
    output_index: int
    arguments: str


AnyEvent = (
    LifecycleEvent
    | ItemEvent
    | PartEvent
    | TextDelta
    | TextDone
    | ReasoningDelta
    | ReasoningDone
    | ArgumentsDelta
    | ArgumentsDone
)


class ResponseEvent(RootModel[Annotated[AnyEvent, Field(discriminator="type")]]):
    """Any event of a stream."""
