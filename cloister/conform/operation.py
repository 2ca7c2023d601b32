"""Checks of what a server does with many clients, those that leave, and those without a key."""

import asyncio
import re
from collections.abc import Sequence

import httpx

from cloister.conform.chat import COUNT, PATH, answered
from cloister.conform.check import Doubt, Fault, Skip, Suite, expect
from cloister.conform.server import Server
from cloister.conform.shapes import Chunk, ErrorBody, read
from cloister.conform.stream import chunks, content

suite = Suite("operation")

TOPICS = ("a fox", "rain", "the sea", "an owl", "bread", "a bell", "snow", "a tree")
LEAVERS = 8
PROMPT_S = 60.0
SECRET = re.compile(r"Traceback|File \"/|site-packages")


@suite.check("eight streams at once do not mix")
async def concurrency(server: Server) -> None:
    bodies = [server.chat(f"Tell me of {topic}.", temperature=0) for topic in TOPICS]
    alone = [content(await chunks(server, body)) for body in bodies]
    streams = await asyncio.gather(*(chunks(server, body) for body in bodies))
    _check_ids(streams)
    if [content(stream) for stream in streams] != alone:
        raise Doubt("texts at temperature 0 depend on what else runs")


@suite.check("clients that leave a stream hold nobody up")
async def disconnect(server: Server) -> None:
    await asyncio.gather(*(_leave(server) for _ in range(LEAVERS)))
    try:
        async with asyncio.timeout(PROMPT_S):
            await answered(server, server.chat("Say hello.", max_tokens=4))
    except TimeoutError:
        raise Fault(f"the next answer took longer than {PROMPT_S:g} s") from None


@suite.check("answers and errors have an x-request-id, which reports can name")
async def request_id(server: Server) -> None:
    good = await server.post(PATH, server.chat("Say hello.", max_tokens=4))
    bad = await server.post(PATH, b"{")
    if not good.headers.get("x-request-id") or not bad.headers.get("x-request-id"):
        raise Doubt("it is missing")


@suite.check("errors tell nothing of the server's inside")
async def inside(server: Server) -> None:
    for body in (b"{", b"\xff\xfe", b'{"model": 3}', b'{"messages": {"a": []}}'):
        reply = await server.post(PATH, body)
        expect(reply.status < 500, f"the status is {reply.status}")
        expect(not SECRET.search(reply.body.decode("latin-1")), "a traceback is shown")


@suite.check("a request without the key, or with a wrong one, is a 401")
async def auth(server: Server) -> None:
    if not server.api_key:
        raise Skip("no key was given")
    for key in ("", "wrong-key"):
        for path in ("/chat/completions", "/completions", "/embeddings"):
            reply = await server.post(path, server.chat("Hi"), key=key)
            expect(reply.status == 401, f"{path}: the status is {reply.status}")
            read(ErrorBody, reply.json)


def _check_ids(streams: Sequence[Sequence[Chunk]]) -> None:
    ids = [{chunk.id for chunk in stream} for stream in streams]
    expect(all(len(one) == 1 for one in ids), "a stream has chunks of several ids")
    expect(len(set.union(*ids)) == len(streams), "streams share an id")


async def _leave(server: Server) -> None:
    """Ask for much, and go when the first piece comes."""
    body = server.chat(COUNT, stream=True)
    del body["max_tokens"]
    try:
        async with server.open(PATH, body) as pieces:
            await anext(pieces, None)
    except httpx.HTTPError:
        return
