"""Checks of set forms: JSON and JSON schemas."""

import json
from typing import Any

from cloister.conform.chat import PATH, answered
from cloister.conform.check import Fault, Skip, Suite, expect
from cloister.conform.server import Json, Server
from cloister.conform.shapes import Chat
from cloister.conform.stream import REFUSALS, chunks, content

suite = Suite("structure")

LONG = 200
SCHEMA: Json = {
    "type": "object",
    "properties": {
        "colour": {"type": "string", "enum": ["red", "green"]},
        "count": {"type": "integer", "minimum": 1, "maximum": 9},
        "tags": {"type": "array", "items": {"type": "boolean"}, "minItems": 1, "maxItems": 2},
    },
    "required": ["colour", "count", "tags"],
    "additionalProperties": False,
}


def form(schema: Json) -> Json:
    told = {"name": "thing", "strict": True, "schema": schema}
    return {"response_format": {"type": "json_schema", "json_schema": told}}


@suite.check("json_object gives a JSON object")
async def json_object(server: Server) -> None:
    fields = {"response_format": {"type": "json_object"}, "max_tokens": LONG}
    body = server.chat('Answer in JSON, as {"name": "Fox"}.', temperature=0, **fields)
    value = _value(await answered(server, body, optional=True))
    expect(isinstance(value, dict), "the value is no object")


@suite.check("json_schema gives a value of the schema, even at temperature 1")
async def json_schema(server: Server) -> None:
    for seed in range(3):
        fields = {"max_tokens": LONG, "temperature": 1, "seed": seed, **form(SCHEMA)}
        answer = await answered(
            server, server.chat("Make a thing in JSON.", **fields), optional=True
        )
        _check_thing(_value(answer))


@suite.check("a streamed value is of the schema too")
async def json_schema_streamed(server: Server) -> None:
    fields = {"max_tokens": LONG, "temperature": 0, **form(SCHEMA)}
    found = await chunks(server, server.chat("Make a thing.", **fields), optional=True)
    _check_thing(_parsed(content(found)))


@suite.check("a schema that is none is refused, not approximated")
async def bad_schema(server: Server) -> None:
    reply = await server.post(PATH, server.chat("Hi", **form({"type": "no such type"})))
    expect(reply.status in REFUSALS, f"the status is {reply.status}")


def _check_thing(value: Any) -> None:
    expect(isinstance(value, dict), "the value is no object")
    expect(set(value) == {"colour", "count", "tags"}, "members are missing or too many")
    expect(value["colour"] in ("red", "green"), "a value is not of its enum")
    expect(type(value["count"]) is int and 1 <= value["count"] <= 9, "a number is out of bounds")
    tags = value["tags"]
    expect(isinstance(tags, list) and 1 <= len(tags) <= 2, "a list has a wrong length")
    expect(all(isinstance(tag, bool) for tag in tags), "an item has a wrong type")


def _value(answer: Chat) -> Any:
    choice = answer.choices[0]
    if choice.finish_reason == "length":
        raise Skip("the answer was cut at its limit")
    return _parsed(choice.message.content or "")


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        raise Fault("the content is no JSON") from None
