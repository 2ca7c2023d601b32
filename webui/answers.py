"""Answers under way, at most one for each browser session, as frames that a page can show.

An upstream request lives exactly as long as its entry here: a stop, a newer question, or a browser
that leaves ends it, which closes the connection, so that the worker frees what it holds.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Literal

from cloister.client import Chat, Client, Delta, Summary
from cloister.errors import CloisterError

FRAME_S = 0.04  # a screen need not be redrawn for each of several hundred tokens a second

State = Literal["waiting", "writing", "complete", "stopped", "failed"]


@dataclass(frozen=True, slots=True)
class Answer:
    """What is known of an answer at one moment. `text` stays when it fails or is stopped."""

    text: str = field(default="", repr=False)
    state: State = "waiting"
    first_s: float | None = None
    summary: Summary | None = None
    error: CloisterError | None = None


class Answers:
    """Asks `client`, for many sessions at once."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._readings: dict[str, _Reading] = {}

    async def ask(self, session: str, chat: Chat) -> AsyncGenerator[Answer, None]:
        """Frames of the answer, the last one complete, stopped or failed. Never raises for those.

        A question of the same session that is still being answered is stopped first.
        """
        self.stop(session)
        reading = _Reading(self._client, chat)
        self._readings[session] = reading
        try:
            async with aclosing(reading.frames()) as frames:
                async for frame in frames:
                    yield frame
        finally:
            await reading.close()
            if self._readings.get(session) is reading:
                del self._readings[session]

    def stop(self, session: str) -> None:
        """End the session's answer, if there is one; its last frame says `stopped`."""
        reading = self._readings.get(session)
        if reading is not None:
            reading.stop()

    async def forget(self, session: str) -> None:
        """End the session's answer without a last frame."""
        reading = self._readings.pop(session, None)
        if reading is not None:
            reading.unwanted = True
            await reading.close()

    def stop_all(self) -> None:
        """End every answer, so that the program can."""
        for reading in self._readings.values():
            reading.stop()


class _Reading:
    """One upstream stream, read by a task of its own, so that waiting for it can be cut short."""

    def __init__(self, client: Client, chat: Chat) -> None:
        self.unwanted = False
        self._pieces: list[str] = []
        self._first_s: float | None = None
        self._changed = asyncio.Event()
        self._task = asyncio.create_task(self._read(client, chat))
        self._task.add_done_callback(lambda _: self._changed.set())

    async def frames(self) -> AsyncGenerator[Answer, None]:
        yield Answer()
        while not self._task.done():
            await self._changed.wait()
            self._changed.clear()
            if not self._task.done():
                yield Answer("".join(self._pieces), "writing", self._first_s)
                await asyncio.wait({self._task}, timeout=FRAME_S)
        if not self.unwanted:
            yield self._last()

    def stop(self) -> None:
        self._task.cancel()

    async def close(self) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _read(self, client: Client, chat: Chat) -> Summary:
        async with aclosing(client.chat(chat)) as events:
            async for event in events:
                match event:
                    case Delta(text, at_s):
                        self._pieces.append(text)
                        self._first_s = at_s if self._first_s is None else self._first_s
                        self._changed.set()
                    case Summary():
                        return event
        raise AssertionError("a stream ends with a summary or an error")

    def _last(self) -> Answer:
        text = "".join(self._pieces)
        if self._task.cancelled():
            return Answer(text, "stopped", self._first_s)
        error = self._task.exception()
        if isinstance(error, CloisterError):
            return Answer(text, "failed", self._first_s, error=error)
        return Answer(text, "complete", self._first_s, self._task.result())
