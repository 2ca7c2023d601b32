"""Checks of calls of tools, whole and streamed."""

import json
from collections.abc import Sequence

from cloister.conform.chat import PATH, answered
from cloister.conform.check import Doubt, Fault, Suite, expect
from cloister.conform.server import Json, Server
from cloister.conform.shapes import Call, CallDelta
from cloister.conform.stream import REFUSALS, chunks, of_choice

suite = Suite("tools")

WEATHER: Json = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather of a city",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string", "enum": ["Paris", "Rome"]}},
            "required": ["city"],
            "additionalProperties": False,
        },
    },
}
NAMED: Json = {"type": "function", "function": {"name": "get_weather"}}


def question(server: Server, choice: object) -> Json:
    fields = {"tools": [WEATHER], "tool_choice": choice, "temperature": 0, "max_tokens": 120}
    return server.chat("How is the weather in Paris?", **fields)


@suite.check("a named function is called, with arguments of its schema")
async def named(server: Server) -> None:
    answer = await answered(server, question(server, NAMED), optional=True)
    choice = answer.choices[0]
    _check_calls(choice.message.tool_calls or [])
    expect(choice.finish_reason in ("tool_calls", "stop"), "finish_reason is not tool_calls")


@suite.check("required makes a call")
async def required(server: Server) -> None:
    answer = await answered(server, question(server, "required"), optional=True)
    _check_calls(answer.choices[0].message.tool_calls or [])
    expect(answer.choices[0].finish_reason == "tool_calls", "finish_reason is not tool_calls")


@suite.check("none makes no call")
async def none(server: Server) -> None:
    answer = await answered(server, question(server, "none"), optional=True)
    expect(not answer.choices[0].message.tool_calls, "there is a call")


@suite.check("streamed calls: index from 0, id, type and name once, arguments in pieces")
async def streamed(server: Server) -> None:
    found = await chunks(server, question(server, "required"), optional=True)
    deltas = [call for part in of_choice(found) for call in part.delta.tool_calls or ()]
    expect(deltas, "there is no call")
    first, *rest = [delta for delta in deltas if delta.index == 0] or [deltas[0]]
    expect(first.index == 0, "indexes do not begin at 0")
    expect(first.id and first.type and _name(first), "the first delta has no id, type or name")
    _check_rest(rest)
    arguments = "".join(_arguments(delta) for delta in (first, *rest))
    _check_arguments(arguments)


@suite.check("the result of a call is taken")
async def result(server: Server) -> None:
    body = question(server, "none")
    function = {"name": "get_weather", "arguments": '{"city": "Paris"}'}
    call = {"id": "call_1", "type": "function", "function": function}
    body["messages"] += [
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_1", "content": "sunny"},
    ]
    await answered(server, body, optional=True)


@suite.check("a tool_choice that names no tool is refused")
async def unknown(server: Server) -> None:
    body = question(server, {"type": "function", "function": {"name": "no_such_tool"}})
    reply = await server.post(PATH, body)
    expect(reply.status in REFUSALS, f"the status is {reply.status}")


def _check_calls(calls: Sequence[Call]) -> None:
    expect(calls, "there is no call")
    expect(calls[0].function.name == "get_weather", "another function is called")
    _check_arguments(calls[0].function.arguments)


def _check_arguments(text: str) -> None:
    try:
        value = json.loads(text)
    except ValueError:
        raise Fault("the arguments are no JSON") from None
    expect(value in ({"city": "Paris"}, {"city": "Rome"}), "the arguments are not of the schema")


def _check_rest(rest: Sequence[CallDelta]) -> None:
    """Accumulators join strings, and some clients break at null."""
    again = any(delta.id or delta.type or _name(delta) for delta in rest)
    expect(not again, "id, type or name come again, and accumulators join them")
    if any("id" in delta.model_fields_set for delta in rest):
        raise Doubt("later deltas say id: null, over which some clients stumble")


def _name(delta: CallDelta) -> str | None:
    return delta.function.name if delta.function else None


def _arguments(delta: CallDelta) -> str:
    return (delta.function.arguments if delta.function else None) or ""
