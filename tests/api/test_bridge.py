"""Events cross from an engine's thread into the loop, in order and none lost."""

import asyncio
import threading

import pytest
from starlette.requests import ClientDisconnect

from cloister.errors import InternalError
from tests.fakes.engine import tokens
from worker.api.bridge import Bridge, Inbox
from worker.engine.request import Token

COUNT = 2000


async def drain(inbox: Inbox) -> list[Token]:
    found: list[Token] = []
    while not found or found[-1].finish is None:
        found += [token for _, token in await inbox.take(10)]
    return found


async def test_threads_lose_no_token() -> None:
    bridge = Bridge()
    inboxes = [bridge.open() for _ in range(4)]
    script = tokens(*("x" for _ in range(COUNT)))

    def speak() -> None:
        for token in script:
            for inbox in inboxes:
                inbox.listener(0)(token)

    thread = threading.Thread(target=speak)
    thread.start()
    heard = await asyncio.gather(*map(drain, inboxes))
    thread.join()
    assert heard == [script] * 4


async def test_a_burst_wakes_the_loop_once(monkeypatch: pytest.MonkeyPatch) -> None:
    bridge = Bridge()
    first, second = bridge.open(), bridge.open()
    loop = asyncio.get_running_loop()
    calls: list[object] = []
    real = loop.call_soon_threadsafe

    def counted(callback: object) -> object:
        calls.append(callback)
        return real(callback)  # type: ignore[arg-type]

    monkeypatch.setattr(loop, "call_soon_threadsafe", counted)
    for token in tokens("a", "b"):
        first.listener(0)(token)
        second.listener(0)(token)
    assert len(await first.take(1)) == len(await second.take(1)) == 2
    assert len(calls) == 1


async def test_tokens_come_before_the_error_behind_them() -> None:
    inbox = Bridge().open()
    inbox.put(2, tokens("a", "b")[0])
    inbox.put(0, InternalError("failed"))
    assert [(index, token.text) for index, token in await inbox.take(1)] == [(2, "a")]
    with pytest.raises(InternalError):
        await inbox.take(1)


async def test_leaving_comes_before_waiting_tokens() -> None:
    inbox = Bridge().open()
    inbox.put(0, tokens("a")[0])
    inbox.leave()
    with pytest.raises(ClientDisconnect):
        await inbox.take(1)


async def test_nothing_comes_when_time_is_over() -> None:
    assert await Bridge().open().take(0) == []


def test_event_after_the_loop_closed_is_dropped() -> None:
    async def opened() -> Inbox:
        return Bridge().open()

    asyncio.run(opened()).listener(0)(tokens("a")[0])
