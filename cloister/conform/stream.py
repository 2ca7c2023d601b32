"""A stream of server-sent events, read as strictly as the most careful client does."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from cloister.conform.check import Fault, Skip, expect
from cloister.conform.server import Json, Reply, Server
from cloister.conform.shapes import Chunk, ChunkChoice, TextChunk, read

REFUSALS = (400, 404, 405, 422, 501)


@dataclass(frozen=True, slots=True)
class Events:
    """The data of all events. `lines` are those of the stream that are neither data nor empty."""

    data: tuple[str, ...] = field(repr=False)
    other: tuple[str, ...]

    @property
    def bodies(self) -> list[Any]:
        """All but `[DONE]`."""
        return [_parsed(data) for data in self.data if data != "[DONE]"]


def refused(reply: Reply) -> str:
    """What a server says when it does not want to, short; OpenAI's shape or not."""
    body = reply.json
    inner = body.get("error", body) if isinstance(body, dict) else None
    message = inner.get("message") if isinstance(inner, dict) else None
    return f"refused with {reply.status}" + (f": {str(message)[:90]}" if message else "")


async def ask(server: Server, path: str, body: Json, *, optional: bool = False) -> Any:
    """The JSON of an answer of status 200. Raises `Skip` if what is optional is refused."""
    reply = await server.post(path, body)
    _check_taken(reply, optional)
    expect(reply.type == "application/json", f"the content type is {reply.type or 'missing'}")
    expect(reply.json is not None, "the body is no JSON")
    return reply.json


async def listen(server: Server, path: str, body: Json, *, optional: bool = False) -> Events:
    """All events of a streamed answer. Raises as `ask` does."""
    reply = await server.post(path, {**body, "stream": True})
    _check_taken(reply, optional)
    expect(reply.type == "text/event-stream", f"the content type is {reply.type or 'missing'}")
    return events(reply.body)


def events(stream: bytes) -> Events:
    """Raises `Fault` where bytes are no UTF-8."""
    try:
        lines = stream.decode("utf-8").replace("\r\n", "\n").split("\n")
    except UnicodeDecodeError:
        raise Fault("the stream is no UTF-8") from None
    data = tuple(line.removeprefix("data:").removeprefix(" ") for line in lines if _is_data(line))
    return Events(data, tuple(line for line in lines if line and not _is_data(line)))


async def chunks(
    server: Server, body: Json, *, optional: bool = False, usage: bool = False
) -> list[Chunk]:
    """The chunks of a streamed chat, each of OpenAI's shape."""
    asked = {**body, "stream_options": {"include_usage": True}} if usage else body
    heard = await listen(server, "/chat/completions", asked, optional=optional)
    return [read(Chunk, one) for one in heard.bodies]


async def text_chunks(server: Server, body: Json) -> list[TextChunk]:
    heard = await listen(server, "/completions", body, optional=True)
    return [read(TextChunk, one) for one in heard.bodies]


def of_choice(chunks: Sequence[Chunk], index: int = 0) -> Iterator[ChunkChoice]:
    """One choice's parts."""
    return (choice for chunk in chunks for choice in chunk.choices if choice.index == index)


def content(chunks: Sequence[Chunk], index: int = 0) -> str:
    return "".join(choice.delta.content or "" for choice in of_choice(chunks, index))


def _is_data(line: str) -> bool:
    return line.startswith("data:")


def _check_taken(reply: Reply, optional: bool) -> None:
    if optional and reply.status in REFUSALS:
        raise Skip(refused(reply))
    expect(reply.status == 200, refused(reply))


def _parsed(data: str) -> Any:
    try:
        return json.loads(data)
    except ValueError:
        raise Fault("an event's data is neither JSON nor [DONE]") from None
