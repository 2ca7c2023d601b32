"""Checks of refusals: the right status, OpenAI's body, and nothing dropped in silence."""

from typing import Any

from cloister.conform.chat import PATH
from cloister.conform.check import Doubt, Skip, Suite, expect
from cloister.conform.server import Json, Reply, Server
from cloister.conform.shapes import Error, ErrorBody, read

suite = Suite("errors")

LENGTHS = ("context_length", "max_model_len", "context_window")


@suite.check("broken JSON is a 400")
async def broken_json(server: Server) -> None:
    _error(await server.post(PATH, b'{"model": "x", "messages": ['), 400)


@suite.check("a body that is no object is a 400")
async def no_object(server: Server) -> None:
    _error(await server.post(PATH, b"[1, 2]"), 400)


@suite.check("an unknown model is a 404 with code model_not_found")
async def unknown_model(server: Server) -> None:
    body = server.chat("Hi", model="no-such-model-anywhere")
    error = _error(await server.post(PATH, body), 404)
    expect(error.code == "model_not_found", "the code is another")


@suite.check("messages that are missing are a 400 that names them")
async def missing(server: Server) -> None:
    _error(await server.post(PATH, {"model": server.model}), 400, "messages")


@suite.check("an empty list of messages is a 400")
async def empty(server: Server) -> None:
    _error(await server.post(PATH, {"model": server.model, "messages": []}), 400)


@suite.check("an unknown role is a 400")
async def role(server: Server) -> None:
    messages = [{"role": "wizard", "content": "Hi"}]
    _error(await server.post(PATH, {"model": server.model, "messages": messages}), 400)


@suite.check("a wrong type is a 400 that names the field")
async def wrong_type(server: Server) -> None:
    await _check_field(server, temperature="hot")


@suite.check("a temperature of 3 is a 400 that names it")
async def temperature(server: Server) -> None:
    await _check_field(server, temperature=3)


@suite.check("max_tokens of 0 is a 400 that names it")
async def max_tokens(server: Server) -> None:
    await _check_field(server, max_tokens=0)


@suite.check("top_p of 2 is a 400 that names it")
async def top_p(server: Server) -> None:
    await _check_field(server, top_p=2)


@suite.check("n of 0 is a 400 that names it")
async def n(server: Server) -> None:
    await _check_field(server, n=0)


@suite.check("a fault known before the first token is a status in a stream too")
async def streamed(server: Server) -> None:
    await _check_field(server, temperature=3, stream=True)


@suite.check("a prompt over the context is a 400 with code context_length_exceeded")
async def context(server: Server) -> None:
    length = server.context_length or await _told_length(server)
    words = "a " * (length + 100)
    error = _error(await server.post(PATH, server.chat(words)), 400)
    expect(error.code == "context_length_exceeded", "the code is another")


@suite.check("a field that nobody knows is refused, not dropped")
async def unknown_field(server: Server) -> None:
    reply = await server.post(PATH, server.chat("Hi", no_such_field_anywhere=1))
    if reply.status == 200:
        raise Doubt("it is dropped in silence")
    _error(reply, 400)


@suite.check("stream_options without stream is refused, not dropped")
async def stream_options(server: Server) -> None:
    body = server.chat("Hi", stream_options={"include_usage": True})
    reply = await server.post(PATH, body)
    if reply.status == 200:
        raise Doubt("it is dropped in silence")
    _error(reply, 400)


@suite.check("an unknown route is a 404 with OpenAI's error body")
async def route(server: Server) -> None:
    _error(await server.get("/no/such/route"), 404)


@suite.check("a wrong method is a 405 or 404 with OpenAI's error body")
async def method(server: Server) -> None:
    reply = await server.get(PATH)
    expect(reply.status in (404, 405), f"the status is {reply.status}")
    read(ErrorBody, reply.json)


async def _check_field(server: Server, **field: Any) -> None:
    name = next(iter(field))
    _error(await server.post(PATH, server.chat("Hi") | field), 400, name)


def _error(reply: Reply, status: int, param: str | None = None) -> Error:
    """The error of an answer of this status, which names `param` if there is one."""
    expect(reply.status == status, f"the status is {reply.status}")
    error = read(ErrorBody, reply.json).error
    told = error.param or ""
    expect(param is None or told == param or told.startswith(f"{param}."), "param does not name it")
    return error


async def _told_length(server: Server) -> int:
    """As the list of models tells it; peers have several names for it."""
    listed: Json = (await server.get("/models")).json or {}
    for model in listed.get("data") or ():
        for name in LENGTHS:
            if model.get("id") == server.model and isinstance(model.get(name), int):
                return int(model[name])
    raise Skip("the server does not tell the context length; give --context-length")
