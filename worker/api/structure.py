"""What form an answer must have, as the source of a grammar.

`response_format` and `structured_outputs` both come to one Lark grammar, which the engine compiles.
"""

import json
import re
from collections.abc import Sequence
from typing import Any

from cloister.errors import BadRequest
from cloister.wire.base import Generation, StructuredOutputs
from cloister.wire.chat import ChatRequest, JsonSchemaFormat
from worker.api.bounded import bounded
from worker.api.schema import check_schema
from worker.engine.grammar import Source

FIELD = "structured_outputs"
SCHEMA_FIELD = "response_format.json_schema.schema"
WHITESPACE = " ?"
"""Between JSON's parts: JSON on one line, as most models write it, and nothing to dawdle with."""

QUOTED = re.compile(r'"(?:\\.|[^"\\\n])*"|//[^\n]*|/(?:\\.|[^/\\\n])+/')


def structure_of(wire: Generation) -> Source | None:
    """The grammar that a request asks for. Raises `BadRequest`."""
    asked = wire.response_format if isinstance(wire, ChatRequest) else None
    free = asked is None or asked.type == "text"
    if wire.structured_outputs is None:
        return None if asked is None or free else _format(asked)
    if not free:
        raise BadRequest(f"{FIELD}: give this or response_format, not both", param=FIELD)
    return _structure(wire.structured_outputs)


def check_may_end(wire: Generation, source: Source | None) -> None:
    """An answer has to end where its grammar does. Raises `BadRequest`."""
    for name in ("min_tokens", "ignore_eos"):
        if source is not None and getattr(wire, name):
            raise BadRequest(f"{name}: not together with an answer of a set form", param=name)


def json_rule(schema: Any) -> str:
    """The right side of a Lark rule: a JSON value that is valid under a checked schema."""
    closed = {} if schema is True else {"enum": []} if schema is False else bounded(schema)
    return "%json " + json.dumps({**closed, "x-guidance": {"whitespace_pattern": WHITESPACE}})


def _format(asked: Any) -> Source:
    if not isinstance(asked, JsonSchemaFormat):
        return Source(f"start: {json_rule({'type': 'object'})}", "response_format")
    schema = {} if asked.json_schema.schema_ is None else asked.json_schema.schema_
    check_schema(schema, SCHEMA_FIELD)
    return Source(f"start: {json_rule(schema)}", SCHEMA_FIELD)


def _structure(asked: StructuredOutputs) -> Source:
    given = [name for name, value in asked.model_dump(by_alias=True).items() if value is not None]
    if len(given) != 1:
        known = ", ".join(asked.model_dump(by_alias=True))
        raise BadRequest(f"{FIELD}: give exactly one of {known}", param=FIELD)
    param = f"{FIELD}.{given[0]}"
    if asked.json_ is not None:
        check_schema(asked.json_, param)
        return Source(f"start: {json_rule(asked.json_)}", param)
    if asked.regex is not None:
        return Source.regex(asked.regex, param)
    if asked.choice is not None:
        return Source(f"start: {_any_of(asked.choice)}", param)
    assert asked.grammar is not None, "one is given"
    _check_lark(asked.grammar, param)
    return Source(asked.grammar, param)


def _any_of(texts: Sequence[str]) -> str:
    return " | ".join(json.dumps(text, ensure_ascii=False) for text in texts)


def _check_lark(grammar: str, param: str) -> None:
    """Special tokens are no text, and options could weaken what the grammar says."""
    bare = QUOTED.sub("", grammar)
    for sign, what in (("<", "special tokens"), ("%llguidance", "options"), ("@", "parts")):
        if sign in bare:
            raise BadRequest(f"{param}: {what} ({sign}) are not supported", param=param)
    if "x-guidance" in grammar:
        raise BadRequest(f"{param}: x-guidance is not supported", param=param)
