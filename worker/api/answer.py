"""One answer as an ASGI response: hand its sequences to the engine, send what comes back.

We do not use sse-starlette here: it logs chunks at debug level, starts the answer before the first
token is known, so that errors could not be statuses, and runs four tasks a stream.
"""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, replace

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from cloister import sse
from cloister.errors import CloisterError
from cloister.wire.base import Usage
from worker.api.bridge import Bridge, Inbox
from worker.api.choice import Choice, Piece
from worker.api.frames import Frames, usage_of
from worker.api.metrics import Stopwatch
from worker.engine.grammar import Source
from worker.engine.request import Engine

CANCELLED = "cancelled"
FAILED = "error"
STREAM_HEADERS = [(key.encode(), value.encode()) for key, value in sse.HEADERS.items()]


@dataclass(frozen=True, slots=True)
class Job:
    """The choices of an answer, prompt by prompt, and how they are written.

    Each prompt has `candidates`. With `best`, only so many of them are told, the most probable
    first; without, all are. `source` is the grammar that the choices will be held to.
    """

    choices: tuple[Choice, ...]
    frames: Frames
    source: Source | None = None
    candidates: int = 1
    best: int | None = None

    @property
    def prompt_tokens(self) -> list[int]:
        """By choice, the length of its prompt; 0 where an earlier choice has the same one."""
        lengths = [len(choice.request.prompt) for choice in self.choices]
        return [0 if place % self.candidates else count for place, count in enumerate(lengths)]

    def usage(self) -> Usage:
        """What it cost: each prompt once, and all that was generated."""
        firsts = self.choices[:: self.candidates]
        return usage_of(
            sum(self.prompt_tokens),
            sum(choice.generated for choice in self.choices),
            sum(choice.cached for choice in firsts),
        )


class Answer(Response, ABC):
    """Submits when called. The engine forgets its sequences as soon as its client leaves.

    An error is an HTTP status while nothing has been sent; it ends all choices.
    """

    def __init__(
        self, job: Job, engine: Engine, bridge: Bridge, watch: Stopwatch, ping_s: float
    ) -> None:
        super().__init__()
        self.job = job
        self._engine = engine
        self._bridge = bridge
        self._watch = watch
        self._ping_s = ping_s
        self._running: set[int] = set()
        self._outcome = CANCELLED

    async def __call__(self, _: Scope, receive: Receive, send: Send) -> None:
        inbox = self._bridge.open()
        self._submit(inbox)
        leaving = asyncio.create_task(_announce_leaving(receive, inbox))
        try:
            await self.deliver(inbox, send)
        finally:
            leaving.cancel()
            self._forget()
            self._watch.end()

    @abstractmethod
    async def deliver(self, inbox: Inbox, send: Send) -> None:
        """Send the whole answer."""

    async def take(self, inbox: Inbox) -> list[Piece]:
        """The next pieces; empty if none came for the time of a ping. Raises what `inbox` does."""
        try:
            heard = await inbox.take(self._ping_s)
        except CloisterError:
            self._outcome = FAILED
            raise
        pieces: list[Piece] = []
        for index, token in heard:
            choice = self.job.choices[index]
            self._watch.token(index, token)
            if token.finish is not None:
                self._running.remove(index)
                self._watch.finish(token.finish.value)
            pieces.append(choice.add(index, token))
        return pieces

    def _submit(self, inbox: Inbox) -> None:
        """All or none."""
        try:
            for index, choice in enumerate(self.job.choices):
                self._engine.submit(choice.request, inbox.listener(index))
                self._running.add(index)
        except Exception:
            self._outcome = FAILED
            self._forget()
            raise

    def _forget(self) -> None:
        for index in sorted(self._running):
            self._engine.cancel(self.job.choices[index].request.id)
            self._watch.finish(self._outcome)
        self._running.clear()


class WholeAnswer(Answer):
    """One JSON body when all is generated."""

    async def deliver(self, inbox: Inbox, send: Send) -> None:
        found: list[list[Piece]] = [[] for _ in self.job.choices]
        while self._running:
            for piece in await self.take(inbox):
                found[piece.index].append(piece)
        told = [
            [replace(piece, index=index) for piece in found[place]]
            for index, place in enumerate(self._ranking())
        ]
        body = self.job.frames.whole(told, self.job.usage())
        length = str(len(body)).encode()
        headers = [(b"content-type", b"application/json"), (b"content-length", length)]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    def _ranking(self) -> Iterator[int]:
        """The choices that are told, in their order."""
        count, choices = self.job.candidates, self.job.choices
        for start in range(0, len(choices), count):
            places = range(start, start + count)
            if self.job.best is None:
                yield from places
            else:
                by_mean = sorted(places, key=lambda place: -choices[place].mean_logprob)
                yield from by_mean[: self.job.best]


class StreamedAnswer(Answer):
    """Server-sent events, each part of the answer as one event, those of a burst in one write.

    The answer begins with the first token, or with a ping if that takes long; from then on an
    error is an event, behind which the stream ends. First events of choices come in the order of
    their indexes, since clients append them to a list.
    """

    async def deliver(self, inbox: Inbox, send: Send) -> None:
        self._has_begun = False
        self._begun = 0
        try:
            while self._running:
                await self._write(self._frames(await self.take(inbox)), send)
        except CloisterError as error:
            if not self._has_begun:
                raise
            await self._write(self.job.frames.failure(error), send)
        await send({"type": "http.response.body", "body": self.job.frames.done})

    def _frames(self, pieces: list[Piece]) -> bytes:
        frames = [] if self._has_begun else [self.job.frames.begin()]
        if not pieces:
            frames.append(self.job.frames.ping)
        for piece in pieces:
            frames += self._told(piece)
        if not self._running:
            frames.append(self.job.frames.usage(self.job.usage()))
        return b"".join(frames)

    def _told(self, piece: Piece) -> Iterator[bytes]:
        """The events of a piece: one a part, and its end.

        Entries come behind a choice's first event: OpenAI's SDK would count those there twice.
        """
        if not piece.parts and piece.finish is None:
            return
        frames, pieces = self.job.frames, piece.parted()
        if piece.index >= self._begun:
            yield from (frames.first(Piece(index)) for index in range(self._begun, piece.index))
            yield frames.first(Piece(piece.index) if piece.entries or not pieces else pieces.pop(0))
            self._begun = piece.index + 1
        yield from map(frames.part, pieces)
        if piece.finish is not None:
            yield frames.end(piece)

    async def _write(self, frames: bytes, send: Send) -> None:
        if not self._has_begun:
            self._has_begun = True
            await send({"type": "http.response.start", "status": 200, "headers": STREAM_HEADERS})
        if frames:
            await send({"type": "http.response.body", "body": frames, "more_body": True})


async def _announce_leaving(receive: Receive, inbox: Inbox) -> None:
    """Wait until the client leaves; nothing else can come behind the body."""
    while (await receive())["type"] != "http.disconnect":
        pass
    inbox.leave()
