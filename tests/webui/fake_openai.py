"""An OpenAI server for tests: says what it is told, at a given speed, and sees who leaves."""

import asyncio
import json
import socket
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Literal

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

Error = dict[str, Any]


def error(message: str, kind: str = "server_error", code: str | None = None) -> Error:
    """An error body in OpenAI's shape."""
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}


@dataclass
class Script:
    """How the next answers go."""

    pieces: tuple[str, ...] = ("Good ", "day ", "to ", "you.")
    pause_s: float = 0.0
    first_pause_s: float = 0.0
    repeat: bool = False  # the pieces come again and again, until the client leaves
    refusal: tuple[int, Error, dict[str, str]] | None = None  # instead of an answer
    failure: Error | None = None  # an event after the pieces, instead of the end
    broken: bool = False  # the stream ends after the pieces, with no finish and no [DONE]
    usage: bool = True


@dataclass
class FakeOpenAI:
    """One server. Change `script` and `models` at any time; read `bodies` and wait for `left`."""

    models: tuple[str, ...] = ("novice", "sage")
    execution: str | None = None  # of all models, if it is told
    script: Script = field(default_factory=Script)
    bodies: list[dict[str, Any]] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    active: int = 0
    asked: threading.Event = field(default_factory=threading.Event)  # a chat was asked for
    left: threading.Event = field(default_factory=threading.Event)  # a client went mid-stream
    url: str = ""

    def app(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/v1/models", self._models),
                Route("/v1/chat/completions", _Endpoint(self._chat), methods=["POST"]),
            ]
        )

    async def _models(self, request: Request) -> JSONResponse:
        self.keys.append(request.headers.get("authorization", ""))
        told = {} if self.execution is None else {"execution": self.execution}
        data = [{"id": name, **told} for name in self.models]
        return JSONResponse({"object": "list", "data": data})

    async def _chat(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        self.bodies.append(json.loads(await request.body()))
        self.keys.append(request.headers.get("authorization", ""))
        script = self.script
        if script.refusal is not None:
            status, body, headers = script.refusal
            await JSONResponse(body, status, headers)(scope, receive, send)
            return
        self.active += 1
        self.asked.set()
        speaking = asyncio.create_task(self._speak(script, send))
        leaving = asyncio.create_task(_wait_until_gone(receive))
        try:
            await asyncio.wait({speaking, leaving}, return_when=asyncio.FIRST_COMPLETED)
            if not speaking.done():
                self.left.set()
        finally:
            self.active -= 1
            for task in (speaking, leaving):
                task.cancel()
            await asyncio.gather(speaking, leaving, return_exceptions=True)

    async def _speak(self, script: Script, send: Send) -> None:
        headers = [(b"content-type", b"text/event-stream")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await _event(send, _chunk({"role": "assistant", "content": ""}))
        await asyncio.sleep(script.first_pause_s)
        count = 0
        for piece in _endless(script.pieces) if script.repeat else script.pieces:
            await _event(send, _chunk({"content": piece}))
            count += 1
            await asyncio.sleep(script.pause_s)
        if script.failure is not None:
            await _event(send, script.failure)
        elif not script.broken:
            await _event(send, _chunk({}, finish="stop"))
            if script.usage:
                usage = {"prompt_tokens": 7, "completion_tokens": count, "total_tokens": 7 + count}
                await _event(send, {**_chunk({}), "choices": [], "usage": usage})
            await _send(send, b"data: [DONE]\n\n")
        await send({"type": "http.response.body", "body": b""})


class _Endpoint:
    """A raw ASGI endpoint: Starlette passes an object's calls through unchanged."""

    def __init__(self, call: Callable[[Scope, Receive, Send], Awaitable[None]]) -> None:
        self._call = call

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._call(scope, receive, send)


@contextmanager
def serve(app: Any, port: int = 0, lifespan: Literal["on", "off"] = "off") -> Iterator[str]:
    """Run an ASGI application in a thread; the address while it runs."""
    listener = socket.create_server(("127.0.0.1", port))
    config = uvicorn.Config(app, log_level="error", timeout_graceful_shutdown=1, lifespan=lifespan)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        server.force_exit = True
        thread.join(timeout=10)
        with suppress(OSError):
            listener.close()


@contextmanager
def fake_openai() -> Iterator[FakeOpenAI]:
    """A running fake; its `url` is the base that clients want."""
    fake = FakeOpenAI()
    with serve(fake.app()) as url:
        fake.url = f"{url}/v1"
        yield fake


def _endless(pieces: tuple[str, ...]) -> Iterator[str]:
    while True:
        yield from pieces


def _chunk(delta: dict[str, str], finish: str | None = None) -> dict[str, Any]:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "novice",
        "choices": [choice],
    }


async def _event(send: Send, content: dict[str, Any]) -> None:
    await _send(send, b"data: " + json.dumps(content).encode() + b"\n\n")


async def _send(send: Send, body: bytes) -> None:
    await send({"type": "http.response.body", "body": body, "more_body": True})


async def _wait_until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
