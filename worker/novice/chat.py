"""What a conversation is, and how it becomes the text the model reads (ChatML with tool calls)."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NotRequired, TypeAlias, TypedDict

from jinja2 import Template
from jinja2.sandbox import ImmutableSandboxedEnvironment

Json: TypeAlias = Mapping[str, Any]
Role: TypeAlias = Literal["system", "user", "assistant", "tool"]


class Called(TypedDict):
    """The function half of a tool call; arguments may also be JSON text, as OpenAI sends them."""

    name: str
    arguments: Json | str


class ToolCall(TypedDict):
    """One call as it stands in an assistant message."""

    type: Literal["function"]
    function: Called


class Message(TypedDict):
    """One turn in the wire's own shape, so that template and corpus share it."""

    role: Role
    content: str
    tool_calls: NotRequired[list[ToolCall]]


@dataclass(frozen=True)
class Conversation:
    """Messages in order, and the tools that were offered throughout."""

    messages: tuple[Message, ...]
    tools: tuple[Json, ...] = ()


def user(content: str) -> Message:
    """Return a user's turn."""
    return {"role": "user", "content": content}


def assistant(content: str) -> Message:
    """Return an assistant's turn in words."""
    return {"role": "assistant", "content": content}


def call(name: str, arguments: Json) -> Message:
    """Return an assistant's turn that calls one tool."""
    called: ToolCall = {"type": "function", "function": {"name": name, "arguments": arguments}}
    return {"role": "assistant", "content": "", "tool_calls": [called]}


def load_template(source: str) -> Template:
    """Compile a chat template in the sandbox, with the `tojson` that model templates expect."""
    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    environment.filters["tojson"] = _to_json
    return environment.from_string(source)


def render(
    template: Template, messages: Sequence[Message], tools: Sequence[Json] = (), *, ask: bool
) -> str:
    """Render a conversation; `ask` opens the assistant's next turn at the end."""
    return template.render(messages=messages, tools=list(tools), add_generation_prompt=ask)


def _to_json(value: object) -> str:
    """Plain JSON: Jinja's own filter would sort the keys and escape for HTML."""
    return json.dumps(value, ensure_ascii=False)
