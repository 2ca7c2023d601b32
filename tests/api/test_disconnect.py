"""A client that leaves frees its place at once, whenever it leaves."""

import asyncio
import json
import logging
import socket
import threading
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from fastapi import FastAPI

from cloister.errors import InternalError
from cloister.sse import DONE, PING
from tests.api.conftest import chat
from tests.fakes.engine import FakeEngine, tokens
from tests.fakes.server import serving
from worker.api.answer import Patience
from worker.api.app import create_app
from worker.api.served import Served
from worker.engine.request import Event

CHAT = "/v1/chat/completions"


class Client:
    """One request straight into the app; it leaves when told."""

    def __init__(
        self, app: FastAPI, body: dict[str, Any], headers: Mapping[str, str] | None = None
    ) -> None:
        self.sent: list[dict[str, Any]] = []
        self.wrote = asyncio.Event()
        self.left = asyncio.Event()
        self._body = json.dumps(body).encode()
        self._has_body = True
        self.task = asyncio.create_task(app(_scope(headers or {}), self._receive, self._send))

    async def _receive(self) -> dict[str, Any]:
        if self._has_body:
            self._has_body = False
            return {"type": "http.request", "body": self._body, "more_body": False}
        await self.left.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Any) -> None:
        self.sent.append(message)
        if message.get("body"):
            self.wrote.set()


def _scope(headers: Mapping[str, str]) -> dict[str, Any]:
    more = [(name.encode(), value.encode()) for name, value in headers.items()]
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "POST",
        "path": CHAT,
        "raw_path": CHAT.encode(),
        "query_string": b"",
        "headers": [(b"content-type", b"application/json"), *more],
    }


class Waiting(FakeEngine):
    """Tells when a request came in and when one was cancelled."""

    def __init__(self) -> None:
        super().__init__(script=None)
        self.came = threading.Event()
        self.gone = threading.Event()

    def submit(self, request: Any, listener: Any) -> None:
        super().submit(request, listener)
        self.came.set()

    def cancel(self, request_id: str) -> None:
        super().cancel(request_id)
        self.gone.set()


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("count", [0, 1, 3])
async def test_leaving_cancels_at_once(count: int, stream: bool, served: Served) -> None:
    engine = Waiting()
    client = Client(create_app(served, engine), chat(stream=stream))
    assert await asyncio.to_thread(engine.came.wait, 5)
    engine.push(*tokens("a", "b", "c", "d")[:count])
    if stream and count:
        await client.wrote.wait()
    client.left.set()
    await asyncio.wait_for(client.task, 5)
    assert engine.cancelled == [engine.requests[0].id]


async def test_finished_request_is_not_cancelled(served: Served) -> None:
    engine = Waiting()
    client = Client(create_app(served, engine), chat(stream=True))
    assert await asyncio.to_thread(engine.came.wait, 5)
    engine.push(*tokens("a"))
    await asyncio.wait_for(client.task, 5)
    client.left.set()
    assert engine.cancelled == []
    assert client.sent[-1]["body"].endswith(b"data: [DONE]\n\n")


async def test_stopping_server_cancels_what_runs(served: Served) -> None:
    engine = Waiting()
    client = Client(create_app(served, engine), chat())
    assert await asyncio.to_thread(engine.came.wait, 5)
    client.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await client.task
    assert engine.cancelled == [engine.requests[0].id]


async def test_leaving_within_the_body_submits_nothing(served: Served) -> None:
    engine = Waiting()
    client = Client(create_app(served, engine), chat())
    client._has_body = False
    client.left.set()
    await asyncio.wait_for(client.task, 5)
    assert engine.requests == []
    assert client.sent == []


async def test_event_after_leaving_does_no_harm(served: Served) -> None:
    engine = Waiting()
    client = Client(create_app(served, engine), chat(stream=True))
    assert await asyncio.to_thread(engine.came.wait, 5)
    client.left.set()
    await client.task
    late: list[Event] = [*tokens("a", "b")]
    engine.push(*late)
    await asyncio.sleep(0)
    assert client.sent == []


@pytest.fixture
def waiting(served: Served) -> Iterator[tuple[str, Waiting]]:
    engine = Waiting()
    with serving(create_app(served, engine)) as url:
        yield url, engine


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("count", [0, 1, 3])
def test_closed_socket_cancels(
    count: int, stream: bool, waiting: tuple[str, Waiting], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    url, engine = waiting
    body = json.dumps(chat("canary", stream=stream)).encode()
    with socket.create_connection(url.removeprefix("http://").split(":")) as connection:
        head = f"POST {CHAT} HTTP/1.1\r\nhost: w\r\ncontent-length: {len(body)}\r\n\r\n"
        connection.sendall(head.encode() + body)
        assert engine.came.wait(5)
        engine.push(*tokens("canary", "b", "c", "d")[:count])
        if stream and count:
            assert connection.recv(100).startswith(b"HTTP/1.1 200")
    assert engine.gone.wait(5)
    assert engine.cancelled == [engine.requests[0].id]
    assert "canary" not in caplog.text


async def test_error_behind_a_ping_is_an_event(served: Served) -> None:
    engine = Waiting()
    client = Client(create_app(served, engine, patience=Patience(ping_s=0.001)), chat(stream=True))
    await asyncio.wait_for(client.wrote.wait(), 5)
    assert client.sent[1]["body"] == PING
    engine.push(InternalError("the engine failed"))
    await asyncio.wait_for(client.task, 5)
    assert client.sent[0]["status"] == 200
    assert b'"error"' in client.sent[-2]["body"]
    assert client.sent[-1]["body"] == DONE


async def test_failure_within_an_answer_leaves_it_unfinished(
    served: Served, caplog: pytest.LogCaptureFixture
) -> None:
    """The server then cuts the connection, so that nobody takes the half for the whole."""
    engine = Waiting()
    client = Client(create_app(served, engine), chat(stream=True))
    assert await asyncio.to_thread(engine.came.wait, 5)
    engine.push(*tokens("a", "b")[:1])
    await asyncio.wait_for(client.wrote.wait(), 5)
    engine.push("canary")  # type: ignore[arg-type]
    await asyncio.wait_for(client.task, 5)
    assert client.sent[-1]["more_body"]
    assert engine.cancelled == [engine.requests[0].id]
    assert "AttributeError" in caplog.text
    assert "canary" not in caplog.text + repr(client.sent)
