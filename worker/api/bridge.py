"""From the engine's thread to the event loop: tokens cross in one wake-up per burst.

Waking the loop is a system call, which is dear in an enclave. So one call serves all requests that
got a token in the same step, and nothing else is done in the engine's thread.
"""

import asyncio
from collections import deque

from starlette.requests import ClientDisconnect

from cloister.errors import CloisterError
from worker.engine.request import Event, Token


class Bridge:
    """Carries events of all requests into one event loop."""

    def __init__(self) -> None:
        self._crossing: deque[tuple[Inbox, Event]] = deque()
        self._is_called = False
        self._loop: asyncio.AbstractEventLoop | None = None

    def open(self) -> "Inbox":
        """An inbox for one request; to be called in the loop."""
        self._loop = asyncio.get_running_loop()
        return Inbox(self, self._loop)

    def send(self, inbox: "Inbox", event: Event) -> None:
        """Called in the engine's thread. Once the loop is closed, nobody waits for events."""
        self._crossing.append((inbox, event))
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
            inbox, event = self._crossing.popleft()
            inbox.put(event)


class Inbox:
    """One request's events, and the news that its client left. Lives in the loop."""

    def __init__(self, bridge: Bridge, loop: asyncio.AbstractEventLoop) -> None:
        self._bridge = bridge
        self._loop = loop
        self._events: deque[Event] = deque()
        self._has_left = False
        self._waiter: asyncio.Future[None] | None = None

    def hear(self, event: Event) -> None:
        """The engine's listener."""
        self._bridge.send(self, event)

    def put(self, event: Event) -> None:
        self._events.append(event)
        self._wake()

    def leave(self) -> None:
        """The client is gone; `take` says so at once."""
        self._has_left = True
        self._wake()

    async def take(self, timeout_s: float) -> list[Token]:
        """All tokens that are here, waiting for the first one; empty after `timeout_s`.

        Raises the engine's error, behind the tokens before it, and `ClientDisconnect`.
        """
        if not self._events and not self._has_left:
            await self._wait(timeout_s)
        if self._has_left:
            raise ClientDisconnect
        tokens: list[Token] = []
        while self._events:
            event = self._events[0]
            if isinstance(event, CloisterError):
                if tokens:
                    break
                raise event
            tokens.append(event)
            self._events.popleft()
        return tokens

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
