"""A chat request's prompt: its messages, tools and template variables, written by the template.

All that a client wrote is shielded, in arguments, results and schemas too, so that only the
template's own control words become control tokens.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from cloister.errors import BadRequest
from cloister.wire.chat import AnyMessage, AssistantMessage, ChatRequest, Content, ToolCall
from worker.api.parts import Reader
from worker.api.served import Served
from worker.api.structure import structure_of
from worker.api.template import GENERATION, OWN, ChatTemplate
from worker.api.thinking import CLOSE, OPEN, ThinkingReader
from worker.api.thought_budget import ThoughtBudget
from worker.api.tool_choice import Tooling, tooling_of
from worker.engine.grammar import Source
from worker.engine.request import Grammar

Shield = Callable[[str], str]


@dataclass(frozen=True, slots=True)
class Conversation:
    """What a chat request comes to: a prompt, how choices are read, and what they are held to.

    `text` is the prompt's, with what clients wrote shielded. `budget` ends long thoughts; an answer
    of a set form has none.
    """

    text: str = field(repr=False)
    prompt: tuple[int, ...] = field(repr=False)
    reader: Callable[[], Reader]
    source: Source | None
    budget: Grammar | None = None


def converse(
    wire: ChatRequest, served: Served, *, add_generation_prompt: bool = True
) -> Conversation:
    """The prompt ends where the assistant begins, unless told otherwise. Raises `BadRequest`."""
    template = served.template
    if template is None:
        raise BadRequest(
            f"model: {served.name} has no chat template; use /v1/completions", param="model"
        )
    tooling = _tooling(wire, served)
    thinks = CLOSE in template.source
    variables = _variables(wire, template, is_held=tooling.source is not None)
    variables = {**variables, GENERATION: add_generation_prompt}
    text = _text(wire, served, template, tooling, variables)
    is_open = thinks and text.rstrip().endswith(OPEN)
    if is_open and tooling.source is not None:
        text, is_open = f"{text.rstrip()}\n\n{CLOSE}\n\n", False
    prompt = tuple(served.tokenizer.encode(text, add_special_tokens=False))

    def reader() -> Reader:
        inner = tooling.reader()
        return ThinkingReader(inner, thinking=is_open) if thinks else inner

    budget = None if tooling.source else _budget(wire, served, thinks=thinks, is_open=is_open)
    return Conversation(text, prompt, reader, tooling.source, budget)


def _budget(wire: ChatRequest, served: Served, *, thinks: bool, is_open: bool) -> Grammar | None:
    tokens, param = wire.thinking_token_budget, "thinking_token_budget"
    if tokens is None:
        return None
    if not thinks:
        message = f"{param}: this model's chat template has no thoughts"
        raise BadRequest(message, param=param, code="unsupported_parameter")
    if wire.min_tokens:
        raise BadRequest(f"min_tokens: not together with {param}", param="min_tokens")
    return ThoughtBudget(tokens, served.tokenizer, served.vocabulary_size, thinking=is_open)


def _tooling(wire: ChatRequest, served: Served) -> Tooling:
    """The tools, and the one grammar of the answer."""
    tooling = tooling_of(wire, served.tool_format, served.tokenizer)
    structure = structure_of(wire)
    if structure is None:
        return tooling
    if tooling.source is not None:
        raise BadRequest(
            f"{structure.param}: not together with calls that are forced or strict",
            param=structure.param,
        )
    return replace(tooling, source=structure)


def _variables(wire: ChatRequest, template: ChatTemplate, *, is_held: bool) -> dict[str, Any]:
    """The template's variables. An answer that is held to a grammar begins without a thought."""
    asked = dict(wire.chat_template_kwargs or {})
    for name in asked:
        if name not in template.variables:
            known = ", ".join(sorted(template.variables)) or "none"
            reason = "is not the request's to set" if name in OWN else "is not in the template"
            param = f"chat_template_kwargs.{name[:64]}"
            raise BadRequest(f"{param} {reason}; known names: {known}", param=param)
    asked |= _effort(wire, template, asked)
    if is_held and "enable_thinking" in template.variables:
        if asked.get("enable_thinking"):
            param = "reasoning_effort" if wire.reasoning_effort else "chat_template_kwargs"
            raise BadRequest(f"{param}: an answer of a set form cannot think first", param=param)
        asked["enable_thinking"] = False
    return asked


def _effort(
    wire: ChatRequest, template: ChatTemplate, asked: Mapping[str, Any]
) -> Mapping[str, Any]:
    effort = wire.reasoning_effort
    if effort is None:
        return {}
    param = "reasoning_effort"
    if "enable_thinking" not in template.variables:
        message = f"{param}: this model's chat template has no such choice"
        raise BadRequest(message, param=param, code="unsupported_parameter")
    if "enable_thinking" in asked:
        message = f"{param}: chat_template_kwargs.enable_thinking is given too; give one"
        raise BadRequest(message, param=param)
    return {"enable_thinking": effort != "none"}


def _text(
    wire: ChatRequest,
    served: Served,
    template: ChatTemplate,
    tooling: Tooling,
    variables: Mapping[str, Any],
) -> str:
    shield = served.tokenizer.shield
    messages = [_message(message, at, shield) for at, message in enumerate(wire.messages)]
    tools, given = shielded(list(tooling.given), shield), shielded(variables, shield)
    try:
        return template.render(messages, tools, given)
    except BadRequest as error:  # a template may quote a message
        message = served.tokenizer.unshield(error.message)
        raise BadRequest(message, param=error.param) from None


def _message(message: AnyMessage, place: int, shield: Shield) -> Mapping[str, Any]:
    """A message as templates know it; all that the client wrote is shielded."""
    role = "system" if message.role == "developer" else message.role
    skipped = {"role", "content", "tool_calls"}
    fields: dict[str, Any] = message.model_dump(exclude=skipped, exclude_none=True)
    fields["content"] = "" if message.content is None else _plain(message.content)
    if isinstance(message, AssistantMessage) and message.tool_calls:
        path = f"messages[{place}].tool_calls"
        fields["tool_calls"] = [
            _call(call, f"{path}[{at}].function.arguments")
            for at, call in enumerate(message.tool_calls)
        ]
    return {"role": role, **shielded(fields, shield)}


def _call(call: ToolCall, param: str) -> dict[str, Any]:
    """A past call; templates want its arguments as an object."""
    try:
        arguments = json.loads(call.function.arguments or "{}")
    except (ValueError, RecursionError):
        arguments = None
    if not isinstance(arguments, dict):
        raise BadRequest(f"{param}: must be the text of a JSON object", param=param)
    function = {"name": call.function.name, "arguments": arguments}
    return {"id": call.id, "type": "function", "function": function}


def _plain(content: Content) -> str:
    """Parts are parted by a newline, so that no two can form one word."""
    return content if isinstance(content, str) else "\n".join(part.text for part in content)


def shielded(value: Any, shield: Shield) -> Any:
    """`value` with each text in it shielded, names too."""
    if isinstance(value, str):
        return shield(value)
    if isinstance(value, list):
        return [shielded(item, shield) for item in value]
    if isinstance(value, Mapping):
        return {shield(name): shielded(item, shield) for name, item in value.items()}
    return value
