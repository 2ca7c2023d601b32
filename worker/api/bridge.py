"""From the engine's thread to the event loop: tokens cross in one wake-up per burst.

Waking the loop is a system call, which is dear in an enclave. So one call serves all requests that
got a token in the same step, and nothing else is done in the engine's thread.
"""

import asyncio
from collections import deque
from functools import partial

from starlette.requests import ClientDisconnect

from cloister.errors import CloisterError
from worker.engine.request import Event, Listener, Token

Heard = tuple[int, Token]
"""A token, with the index of its sequence within the answer."""


class Bridge:
    """Carries events of all requests into one event loop."""

    def __init__(self) -> None:
        self._crossing: deque[tuple[Inbox, int, Event]] = deque()
        self._is_called = False
        self._loop: asyncio.AbstractEventLoop | None = None

    def open(self) -> "Inbox":
        """An inbox for one answer; to be called in the loop."""
        self._loop = asyncio.get_running_loop()
        return Inbox(self, self._loop)

    def send(self, inbox: "Inbox", index: int, event: Event) -> None:
        """Called in the engine's thread. Once the loop is closed, nobody waits for events."""
        self._crossing.append((inbox, index, event))
        if self._is_called:
            return  # the flag falls before the queue is read, so this event will be seen
        self._is_called = True
        try:
            assert self._loop is not None, "an inbox was opened"
            self._loop.call_soon_threadsafe(self._deliver)
        except RuntimeError:
            self._crossing.clear()

    def _deliver(self) -> None:
        self._is_called = False
        while self._crossing:
            inbox, index, event = self._crossing.popleft()
            inbox.put(index, event)


class Inbox:
    """The events of an answer's sequences, and the news that its client left. Lives in the loop."""

    def __init__(self, bridge: Bridge, loop: asyncio.AbstractEventLoop) -> None:
        self._bridge = bridge
        self._loop = loop
        self._events: deque[tuple[int, Event]] = deque()
        self._has_left = False
        self._waiter: asyncio.Future[None] | None = None

    def listener(self, index: int) -> Listener:
        """The engine's listener for one sequence, known by its index."""
        return partial(self._bridge.send, self, index)

    def put(self, index: int, event: Event) -> None:
        self._events.append((index, event))
        self._wake()

    def put_in(self, seconds: float, error: CloisterError) -> asyncio.TimerHandle:
        """After a while, `take` raises `error` behind what came before it."""
        return self._loop.call_later(seconds, self.put, 0, error)

    def leave(self) -> None:
        """The client is gone; `take` says so at once."""
        self._has_left = True
        self._wake()

    async def take(self, timeout_s: float) -> list[Heard]:
        """All tokens that are here, waiting for the first one; empty after `timeout_s`.

        Raises the engine's error, behind the tokens before it, and `ClientDisconnect`.
        """
        if not self._events and not self._has_left:
            await self._wait(timeout_s)
        if self._has_left:
            raise ClientDisconnect
        heard: list[Heard] = []
        while self._events:
            index, event = self._events[0]
            if isinstance(event, CloisterError):
                if heard:
                    break
                raise event
            heard.append((index, event))
            self._events.popleft()
        return heard

    async def _wait(self, timeout_s: float) -> None:
        self._waiter = self._loop.create_future()
        timer = self._loop.call_later(timeout_s, self._wake)
        try:
            await self._waiter
        finally:
            timer.cancel()
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
