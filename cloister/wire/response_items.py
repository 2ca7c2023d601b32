"""The items of a response's input and output, as they are answered and kept."""

from typing import Annotated, Literal

from pydantic import Field

from cloister.wire.base import Answered
from cloister.wire.logprobs import TokenLogprob

Status = Literal["in_progress", "completed", "incomplete"]
Role = Literal["user", "assistant", "system", "developer"]


class InputText(Answered):
    type: Literal["input_text"] = "input_text"
    text: str


class OutputText(Answered):
    """`logprobs` are of the tokens in which the text stands; empty if none were asked for."""

    type: Literal["output_text"] = "output_text"
    text: str
    annotations: tuple[()] = ()
    logprobs: tuple[TokenLogprob, ...] = ()


class SummaryText(Answered):
    type: Literal["summary_text"] = "summary_text"
    text: str


class ReasoningText(Answered):
    type: Literal["reasoning_text"] = "reasoning_text"
    text: str


class MessageItem(Answered):
    """The content of an assistant is output text, that of all others input text."""

    type: Literal["message"] = "message"
    id: str
    status: Status = "completed"
    role: Role
    content: tuple[Annotated[InputText | OutputText, Field(discriminator="type")], ...]


class CallItem(Answered):
    """The model calls a function; `call_id` is what the result names."""

    type: Literal["function_call"] = "function_call"
    id: str
    status: Status = "completed"
    call_id: str
    name: str
    arguments: str


class ResultItem(Answered):
    """What a called function gave back."""

    type: Literal["function_call_output"] = "function_call_output"
    id: str
    status: Status = "completed"
    call_id: str
    output: str | tuple[InputText, ...]


class ReasoningItem(Answered):
    """A thought. We make no summaries, and keep those that a client sends."""

    type: Literal["reasoning"] = "reasoning"
    id: str
    status: Status = "completed"
    summary: tuple[SummaryText, ...] = ()
    content: tuple[ReasoningText, ...] = ()


Item = MessageItem | CallItem | ResultItem | ReasoningItem
AnyItem = Annotated[Item, Field(discriminator="type")]


class ItemList(Answered):
    """A page of a response's input items. An empty page has empty ids."""

    object: Literal["list"] = "list"
    data: tuple[AnyItem, ...]
    first_id: str
    last_id: str
    has_more: bool
