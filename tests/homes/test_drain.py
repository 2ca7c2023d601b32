"""`python -m worker.drain`: asks until nothing runs."""

import pytest

from tests.fakes.server import serving
from worker import drain


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
