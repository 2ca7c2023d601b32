"""Anthropic's requests as chats: one pipeline makes prompts, reads answers and holds their form."""

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain, groupby

from cloister.errors import BadRequest
from cloister.wire import chat
from cloister.wire.messages import (
    AnyChoice,
    AssistantBlock,
    CountRequest,
    Message,
    MessageRequest,
    TextBlock,
    ThinkingBlock,
    Tool,
    ToolChoice,
    ToolResultBlock,
    ToolUseBlock,
    UserBlock,
)
from worker.api.template import ChatTemplate
from worker.api.thinking import CLOSE

FAILED = "Error: "
"""Stands before a result with `is_error`, since chat templates know no such thing."""

ORDER = (ThinkingBlock, TextBlock, ToolUseBlock)
"""How a chat's message of the assistant is written."""

NAMES = (
    (re.compile(r"\btools\[(\d+)\]\.function\.parameters\b"), r"tools.\1.input_schema"),
    (re.compile(r"\btools\[(\d+)\]\.function\b"), r"tools.\1"),
    (re.compile(r"\btool_choice\.function\.name\b"), "tool_choice.name"),
    (re.compile(r"\btool_choice required\b"), "tool_choice any"),
    (re.compile(r"\bresponse_format\.json_schema\.schema\b"), "output_config.format.schema"),
    (re.compile(r"\breasoning_effort\b"), "thinking"),
    (re.compile(r"\bthinking_token_budget\b"), "thinking.budget_tokens"),
)
"""A chat's fields, and what Anthropic calls them."""


def chat_of(wire: CountRequest, template: ChatTemplate | None) -> chat.ChatRequest:
    """The chat that asks the same. `template` says whether thinking can be chosen."""
    asked: dict[str, object] = {
        "model": wire.model,
        "messages": list(_messages(wire)),
        "tools": [_tool(tool) for tool in wire.tools or ()] or None,
        "tool_choice": _choice(wire),
        "parallel_tool_calls": not getattr(wire.tool_choice, "disable_parallel_tool_use", False),
        "reasoning_effort": _effort(wire, template),
        "thinking_token_budget": getattr(wire.thinking, "budget_tokens", None),
        "response_format": _format(wire),
    }
    if isinstance(wire, MessageRequest):
        asked |= {
            "max_tokens": wire.max_tokens,
            "stream": wire.stream,
            "stop": wire.stop_sequences,
            "temperature": wire.temperature,
            "top_p": wire.top_p,
            "top_k": wire.top_k,
        }
    return chat.ChatRequest.model_validate(asked)


@contextmanager
def renamed() -> Iterator[None]:
    """Refusals name fields as Anthropic does."""
    try:
        yield
    except BadRequest as error:
        message, param = _renamed(error.message), error.param and _renamed(error.param)
        raise type(error)(message, param=param, code=error.code) from None


def _renamed(text: str) -> str:
    for name, theirs in NAMES:
        text = name.sub(theirs, text)
    return text


def _messages(wire: CountRequest) -> Iterator[chat.AnyMessage]:
    """Neighbours of one role are one turn, as with Anthropic."""
    if wire.system:
        yield chat.SystemMessage(role="system", content=_content(wire.system))
    for role, turn in groupby(wire.messages, key=lambda message: message.role):
        blocks = list(chain.from_iterable(map(_blocks, turn)))
        match role:
            case "system":
                yield chat.SystemMessage(role="system", content=_parts(blocks))
            case "user":
                yield from _user(blocks)
            case "assistant":
                yield from _assistant(blocks)


def _blocks(message: Message) -> Sequence[UserBlock | AssistantBlock]:
    content = message.content
    return [TextBlock(type="text", text=content)] if isinstance(content, str) else content


def _user(blocks: Iterable[UserBlock | AssistantBlock]) -> Iterator[chat.AnyMessage]:
    """Results of tools are messages of their own."""
    for kind, run in groupby(blocks, key=type):
        if kind is TextBlock:
            yield chat.UserMessage(role="user", content=_parts(run))
        else:
            yield from (_result(block) for block in run if isinstance(block, ToolResultBlock))


def _result(block: ToolResultBlock) -> chat.ToolMessage:
    text = block.content
    if not isinstance(text, str):
        text = "\n".join(part.text for part in text)
    content = FAILED + text if block.is_error else text
    return chat.ToolMessage(role="tool", content=content, tool_call_id=block.tool_use_id)


def _assistant(blocks: Iterable[UserBlock | AssistantBlock]) -> Iterator[chat.AnyMessage]:
    """A message ends where a block comes that chats write before the last one."""
    run: list[UserBlock | AssistantBlock] = []
    for block in blocks:
        if run and ORDER.index(type(block)) < ORDER.index(type(run[-1])):
            yield _said(run)
            run = []
        run.append(block)
    yield _said(run)


def _said(blocks: Sequence[UserBlock | AssistantBlock]) -> chat.AssistantMessage:
    thoughts = [block.thinking for block in blocks if isinstance(block, ThinkingBlock)]
    calls = [_call(block) for block in blocks if isinstance(block, ToolUseBlock)]
    return chat.AssistantMessage(
        role="assistant",
        content=_parts(blocks),
        reasoning_content="\n".join(thoughts) or None,
        tool_calls=calls or None,
    )


def _call(block: ToolUseBlock) -> chat.ToolCall:
    arguments = json.dumps(block.input, ensure_ascii=False)
    return chat.ToolCall(
        id=block.id, function=chat.CalledFunction(name=block.name, arguments=arguments)
    )


def _content(text: str | list[TextBlock]) -> chat.Content:
    return text if isinstance(text, str) else _parts(text)


def _parts(blocks: Iterable[UserBlock | AssistantBlock]) -> chat.Content:
    """The texts of blocks."""
    texts = [block.text for block in blocks if isinstance(block, TextBlock)]
    return [chat.TextPart(type="text", text=text) for text in texts] or ""


def _tool(tool: Tool) -> chat.Tool:
    function = chat.Function(
        name=tool.name,
        description=tool.description,
        parameters=tool.input_schema,
        strict=tool.strict,
    )
    return chat.Tool(type="function", function=function)


def _choice(wire: CountRequest) -> chat.ToolChoice | None:
    match wire.tool_choice:
        case None:
            return None
        case AnyChoice():
            return "required"
        case ToolChoice(name=name):
            return chat.NamedTool(type="function", function=chat.FunctionName(name=name))
        case choice:
            return choice.type


def _effort(wire: CountRequest, template: ChatTemplate | None) -> chat.ReasoningEffort | None:
    """None where the template does as asked anyway."""
    if wire.thinking is None or template is None:
        return None
    wanted = wire.thinking.type != "disabled"
    if "enable_thinking" not in template.variables and wanted == (CLOSE in template.source):
        return None
    return "medium" if wanted else "none"


def _format(wire: CountRequest) -> chat.JsonSchemaFormat | None:
    if wire.output_config is None or wire.output_config.format is None:
        return None
    schema = chat.JsonSchema.model_validate(
        {"name": "output", "schema": wire.output_config.format.schema_}
    )
    return chat.JsonSchemaFormat(type="json_schema", json_schema=schema)
