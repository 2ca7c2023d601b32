"""A response's request as the chat request that it comes to, and that one's faults in its words.

Nothing behind this file knows responses: templates, tools, forms, thoughts and limits are chat's.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from cloister.errors import BadRequest
from cloister.wire.base import Sampled
from cloister.wire.chat import (
    ChatRequest,
    Function,
    FunctionName,
    JsonSchema,
    JsonSchemaFormat,
    NamedTool,
    ResponseFormat,
    SystemMessage,
    Tool,
    ToolChoice,
)
from cloister.wire.response import FunctionTool, NamedFunction, ResponseRequest, SchemaFormat
from cloister.wire.response_items import Item
from worker.api.response_input import messages_of

NAMES = (
    ("messages", "input"),
    ("response_format.json_schema", "text.format"),
    ("response_format", "text.format"),
    ("tool_choice.function", "tool_choice"),
    ("reasoning_effort", "reasoning.effort"),
    ("max_completion_tokens", "max_output_tokens"),
)
"""Members of a chat request, and the same ones of a response's."""


def chat_of(wire: ResponseRequest, items: Sequence[Item]) -> ChatRequest:
    """`items` are all that the model is to read, but the instructions. Raises `BadRequest`."""
    shared = {name: getattr(wire, name) for name in Sampled.model_fields}
    told = [] if wire.instructions is None else [_system(wire.instructions)]
    messages = [*told, *messages_of(items)]
    if not messages:
        raise BadRequest("input: it has no message, only empty reasoning", param="input")
    return ChatRequest(
        **shared,
        messages=messages,
        max_completion_tokens=wire.max_output_tokens,
        logprobs=bool(wire.include),
        top_logprobs=wire.top_logprobs,
        response_format=_format(wire),
        tools=[_tool(tool) for tool in wire.tools or ()],
        tool_choice=_choice(wire),
        parallel_tool_calls=wire.parallel_tool_calls,
        reasoning_effort=wire.effort,
        chat_template_kwargs=wire.chat_template_kwargs,
    )


@contextmanager
def told_as_response() -> Iterator[None]:
    """A chat request's faults name the members that the client gave."""
    try:
        yield
    except BadRequest as error:
        if error.param is not None:
            name = response_name(error.param)
            error.message = error.message.replace(error.param, name, 1)
            error.param = name
        raise


def response_name(param: str) -> str:
    """What a member of a chat request is called in a response's: `tools[0].function.name` is
    `tools[0].name`."""
    if param.startswith("tools["):
        return param.replace(".function", "", 1)
    for chat, response in NAMES:
        if param == chat or param.startswith((f"{chat}.", f"{chat}[")):
            return response + param.removeprefix(chat)
    return param


def _system(text: str) -> SystemMessage:
    return SystemMessage(role="system", content=text)


def _format(wire: ResponseRequest) -> ResponseFormat | None:
    asked = wire.format
    if not isinstance(asked, SchemaFormat):
        return asked
    named = JsonSchema(name=asked.name, schema=asked.schema_)
    return JsonSchemaFormat(type="json_schema", json_schema=named)


def _tool(tool: FunctionTool) -> Tool:
    members = tool.model_dump(exclude={"type"})
    return Tool(type="function", function=Function(**members))


def _choice(wire: ResponseRequest) -> ToolChoice | None:
    if isinstance(wire.tool_choice, NamedFunction):
        return NamedTool(type="function", function=FunctionName(name=wire.tool_choice.name))
    return wire.tool_choice
