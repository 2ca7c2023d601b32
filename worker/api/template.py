"""Chat templates: messages to the prompt's text, as `apply_chat_template` of transformers does.

A template is code from a model folder, so it runs in Jinja's immutable sandbox.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from jinja2 import Environment, Template, TemplateError, TemplateSyntaxError, meta
from jinja2.ext import Extension
from jinja2.nodes import Node
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

from cloister.errors import BadModel, BadRequest
from worker.api.tokenizer import read_json

Message = Mapping[str, Any]
"""`role` and `content`; where given, `name`, `tool_call_id`, `tool_calls`, `reasoning_content`."""

GENERATION = "add_generation_prompt"
OWN = ("messages", "tools", "documents", GENERATION)
"""What a template gets from us; a request's own variables have other names."""


NOTHING: Mapping[str, Any] = {}


class ChatTemplate:
    """One model's way to write a conversation. `special` has `bos_token` and the like."""

    def __init__(
        self,
        source: str,
        special: Mapping[str, str],
        now: Callable[[], datetime] = datetime.now,
    ) -> None:
        self.source = source
        self._special = dict(special)
        environment = _environment(now)
        self._template = _compile(environment, source)
        names = meta.find_undeclared_variables(environment.parse(source))
        self.variables = frozenset(names) - {*OWN, *special, *environment.globals}
        """Names that the template reads and a request may set, such as `enable_thinking`."""

    @classmethod
    def load(cls, folder: Path, special: Mapping[str, str]) -> "ChatTemplate | None":
        """From chat_template.jinja or tokenizer_config.json; none if the model has none."""
        source = template_source(folder)
        return None if source is None else cls(source, special)

    def render(
        self,
        messages: Sequence[Message],
        tools: Sequence[Mapping[str, Any]] = (),
        variables: Mapping[str, Any] = NOTHING,
    ) -> str:
        """The prompt up to where the assistant begins, if `variables` do not say otherwise.

        Raises `BadRequest` as the template does.
        """
        try:
            return self._template.render(
                **{GENERATION: True, **variables},
                **self._special,
                messages=[dict(message) for message in messages],
                tools=[dict(tool) for tool in tools] or None,
                documents=None,
            )
        except Refused as error:
            raise BadRequest(f"messages: {error.message}", param="messages") from None
        except (TemplateError, TypeError, ValueError, LookupError, ArithmeticError):
            message = "messages: the model's chat template cannot write these messages"
            raise BadRequest(message, param="messages") from None


class Refused(TemplateError):
    """What a template's `raise_exception` raises."""


class _Generation(Extension):
    """`{% generation %}` marks what to train on; for a prompt it means nothing."""

    tags = {"generation"}  # noqa: RUF012 (Jinja's own attribute)

    def parse(self, parser: Parser) -> Node | list[Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


def _environment(now: Callable[[], datetime]) -> Environment:
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=[_Generation, "jinja2.ext.loopcontrols"],
    )
    environment.filters["tojson"] = _to_json
    environment.globals["raise_exception"] = _refuse
    environment.globals["strftime_now"] = lambda pattern: now().strftime(pattern)
    return environment


def _compile(environment: Environment, source: str) -> Template:
    try:
        return environment.from_string(source)
    except TemplateSyntaxError as error:
        raise BadModel(f"chat template, line {error.lineno}: {error.message}") from None


def _to_json(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    """Jinja's own filter would escape characters of HTML."""
    return json.dumps(
        value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys
    )


def _refuse(message: object) -> None:
    raise Refused(str(message))


def template_source(folder: Path) -> str | None:
    """From chat_template.jinja or tokenizer_config.json."""
    path = folder / "chat_template.jinja"
    if path.is_file():
        return path.read_text(encoding="utf-8")
    value = read_json(folder / "tokenizer_config.json").get("chat_template")
    if isinstance(value, list):
        named = {one.get("name"): one.get("template") for one in value if isinstance(one, dict)}
        value = named.get("default")
    if value is not None and not isinstance(value, str):
        raise BadModel(f"{folder}: chat_template is neither a text nor a list with a default one")
    return value
