"""How a worker ends: the drain command asks until nothing runs, a signal leaves some time."""

import socket
from types import SimpleNamespace
from typing import Any

import pytest

from tests.fakes.server import serving
from worker import __main__ as program
from worker import drain
from worker.settings import WorkerSettings


def test_drain_asks_until_nothing_is_left() -> None:
    left, pauses = iter([2, 1, 0]), []
    assert drain.drain(lambda: next(left), clock=lambda: 0.0, sleep=pauses.append)
    assert pauses == [drain.PAUSE_S] * 2


def test_drain_gives_up_when_patience_ends() -> None:
    times = iter([0.0, 1.0, drain.PATIENCE_S])
    assert not drain.drain(lambda: 1, clock=lambda: next(times), sleep=lambda _: None)


def test_command_shows_the_worker_s_token(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[tuple[str, str]] = []

    async def app(scope, receive, send) -> None:  # type: ignore[no-untyped-def]
        if scope["type"] != "http":
            return
        headers = dict(scope["headers"])
        seen.append((scope["path"], headers[b"x-cloister-worker-token"].decode()))
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b'{"requests": 0}'})

    monkeypatch.setenv("CLOISTER_WORKER_JOIN_TOKEN", "a-token-of-enough-letters")
    with serving(app) as url:
        assert drain.main(["--port", url.rpartition(":")[2]]) == 0
    assert seen == [("/worker/drain", "a-token-of-enough-letters")]


async def test_answers_may_go_on_after_a_signal_for_as_long_as_settings_say(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told: dict[str, Any] = {}

    async def serve(_app: object, _bound: socket.socket, **options: Any) -> None:
        told.update(options)

    monkeypatch.setattr(program, "serve", serve)
    worker: Any = SimpleNamespace(app=None, readiness=SimpleNamespace(state="ready"))
    with socket.create_server(("127.0.0.1", 0)) as bound:
        await program._serve(worker, bound, WorkerSettings(stop_s=7))
    assert told["grace_s"] == 7
    told["on_stop"]()
    assert worker.readiness.state == "draining"
