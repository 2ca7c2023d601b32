"""What a request's tools come to: what the template is told, and what the answer may say.

Calls that must be valid (forced ones, those of strict tools) are held to a grammar; others are
read leniently.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from cloister.errors import BadRequest
from cloister.wire.chat import ChatRequest, Function, NamedTool, Tool
from worker.api.parts import PlainReader, Reader
from worker.api.schema import check_schema
from worker.api.structure import json_rule
from worker.api.tokenizer import Tokenizer
from worker.api.tools import ToolFormat
from worker.engine.grammar import Source

ANYTHING = {"type": "object"}
MANY = 128  # calls in one answer at most


@dataclass(frozen=True, slots=True)
class Tooling:
    """`given` is for the template; `reader` is made for each choice, `source` holds it to calls."""

    given: Sequence[dict[str, Any]]
    reader: Callable[[], Reader]
    source: Source | None


def tooling_of(wire: ChatRequest, format: ToolFormat | None, tokenizer: Tokenizer) -> Tooling:
    """Raises `BadRequest` if tools or choice are wrong, or if the model cannot call."""
    tools, choice = wire.tools or [], wire.tool_choice
    _check_choice(choice, [tool.function.name for tool in tools])
    if not tools or choice == "none":
        return Tooling((), PlainReader, None)
    if format is None:
        message = "tools: this model's chat template cannot call tools"
        raise BadRequest(message, param="tools", code="unsupported_parameter")
    for place, tool in enumerate(tools):
        _check_tool(tool.function, f"tools[{place}].function", format)
    limit = 1 if wire.parallel_tool_calls is False else MANY
    names = frozenset(tool.function.name for tool in tools)
    given = [tool.model_dump(exclude_none=True) for tool in tools]
    reader = partial(format.reader, names, limit)
    return Tooling(given, reader, _source(choice, tools, format, tokenizer, limit))


def _check_choice(choice: str | NamedTool | None, names: Sequence[str]) -> None:
    if len(set(names)) < len(names):
        raise BadRequest("tools: two functions have the same name", param="tools")
    if not names and (choice == "required" or isinstance(choice, NamedTool)):
        raise BadRequest("tool_choice: there are no tools to choose from", param="tool_choice")
    if isinstance(choice, NamedTool) and choice.function.name not in names:
        param = "tool_choice.function.name"
        raise BadRequest(f"{param}: none of the tools has this name", param=param)


def _check_tool(tool: Function, path: str, format: ToolFormat) -> None:
    if format.is_python and not tool.name.isidentifier():
        param = f"{path}.name"
        raise BadRequest(f"{param}: this model wants a name that Python takes", param=param)
    if (tool.parameters or ANYTHING).get("type", "object") != "object":
        param = f"{path}.parameters.type"
        raise BadRequest(f"{param}: parameters must be the schema of an object", param=param)


def _source(
    choice: str | NamedTool | None,
    tools: Sequence[Tool],
    format: ToolFormat,
    tokenizer: Tokenizer,
    limit: int,
) -> Source | None:
    is_forced = choice == "required" or isinstance(choice, NamedTool)
    if not is_forced and not any(tool.function.strict for tool in tools):
        return None
    calls, rules = [], []
    for place, tool in enumerate(tools):
        if isinstance(choice, NamedTool) and tool.function.name != choice.function.name:
            continue
        path = f"tools[{place}].function.parameters"
        calls.append(_call(tool.function, f"arguments_{place}", format))
        rules.append(f"arguments_{place}: {_arguments(tool.function, path, is_forced)}")
    body = _calls(format, tokenizer, 1 if isinstance(choice, NamedTool) else limit)
    start = f"start: {body}" if is_forced else _free(body, format, tokenizer)
    return Source("\n".join([start, f"call: {' | '.join(calls)}", *rules]), "tools")


def _call(tool: Function, rule: str, format: ToolFormat) -> str:
    name = tool.name if format.is_python else json.dumps(tool.name)
    return f"{_literal(format.before.replace('NAME', name))} {rule} {_literal(format.after)}"


def _arguments(tool: Function, path: str, is_forced: bool) -> str:
    if not is_forced and not tool.strict:
        return json_rule(ANYTHING)
    schema = {**ANYTHING, **(tool.parameters or {})}
    check_schema(schema, path)
    return json_rule(schema)


def _calls(format: ToolFormat, tokenizer: Tokenizer, limit: int) -> str:
    """One call or several, with all that stands around them."""
    opening, closing = _marker(format.opening, tokenizer), _marker(format.closing, tokenizer)
    one = "call" if format.is_list else f"{opening} call {closing}"
    several = limit > 1 and format.between is not None
    many = f"{one} ({_literal(format.between or '')} {one}){{0,{limit - 1}}}" if several else one
    return f'{opening} "[" {many} {closing}' if format.is_list else many


def _free(body: str, format: ToolFormat, tokenizer: Tokenizer) -> str:
    """Text in which a call, once its marker is written, must be valid."""
    if not format.opening or tokenizer.added_id(format.opening) is None:
        raise BadRequest(
            "tools: strict: true with this model needs tool_choice required or a named function",
            param="tools",
        )
    spelled = format.opening.replace("[", "\\[").replace("]", "\\]")
    return f"start: TEXT ({body})?\nTEXT: /(?s:.*)/ & ~/(?s:.*{spelled}.*)/"


def _marker(text: str, tokenizer: Tokenizer) -> str:
    """A word that may be a token of its own, which then stands for nothing else."""
    id = tokenizer.added_id(text)
    return _literal(text) if id is None else f"<[{id}]>"


def _literal(text: str) -> str:
    return json.dumps(text, ensure_ascii=False) if text else ""
