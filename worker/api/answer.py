"""One generation as an ASGI response: hand it to the engine, send what comes back.

We do not use sse-starlette here: it logs chunks at debug level, starts the answer before the first
token is known, so that errors could not be statuses, and runs four tasks a stream.
"""

import asyncio
import json
from dataclasses import dataclass

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from cloister import sse
from cloister.errors import CloisterError
from cloister.wire.base import Usage
from worker.api.bridge import Bridge, Inbox
from worker.api.frames import Frames, reason_of, usage_of
from worker.api.metrics import Stopwatch
from worker.api.parts import Call, Content, Part, Reader
from worker.engine.grammar import Source
from worker.engine.request import Engine, Request, Token

CANCELLED = "cancelled"
FAILED = "error"
STREAM_HEADERS = [(key.encode(), value.encode()) for key, value in sse.HEADERS.items()]


@dataclass(frozen=True, slots=True)
class Job:
    """A request for the engine, and how its answer is read and written.

    `source` is the grammar that the answer is held to, until the request has it compiled.
    """

    request: Request
    source: Source | None
    reader: Reader
    frames: Frames
    drop_first_space: bool
    """Leave out a space before the first word, as decoders of the SentencePiece kind do."""


class Answer(Response):
    """Submits when called. The engine forgets the request as soon as its client leaves.

    An error is an HTTP status while nothing has been sent.
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
        self._outcome = CANCELLED
        self._drop_space = job.drop_first_space and job.request.grammar is None
        self._has_calls = False

    async def __call__(self, _: Scope, receive: Receive, send: Send) -> None:
        inbox = self._bridge.open()
        self._engine.submit(self.job.request, inbox.hear)
        leaving = asyncio.create_task(_announce_leaving(receive, inbox))
        try:
            await self.deliver(inbox, send)
        finally:
            leaving.cancel()
            self._watch.end(self._outcome)
            if self._outcome == CANCELLED:
                self._engine.cancel(self.job.request.id)

    async def deliver(self, inbox: Inbox, send: Send) -> None:
        """Send the whole answer."""
        raise NotImplementedError

    async def take(self, inbox: Inbox) -> list[Token]:
        """The next tokens; empty if none came for the time of a ping. Raises what `inbox` does."""
        try:
            tokens = await inbox.take(self._ping_s)
        except CloisterError:
            self._outcome = FAILED
            raise
        if tokens:
            self._watch.tokens(tokens)
            if finish := tokens[-1].finish:
                self._outcome = finish.value
        return tokens

    def parts(self, token: Token) -> list[Part]:
        """What became certain with a token, as the client sees it."""
        reader = self.job.reader
        parts = [*reader.push(self._text(token)), *(reader.end() if token.finish else ())]
        self._has_calls |= any(isinstance(part, Call) for part in parts)
        return parts

    def end(self, last: Token) -> tuple[str, Usage]:
        """How the answer ended and what it cost; to be asked when its parts are read."""
        assert last.finish is not None, "the last token says why it is the last"
        usage = usage_of(len(self.job.request.prompt), last.generated, last.cached)
        return reason_of(last.finish, has_calls=self._has_calls), usage

    def _text(self, token: Token) -> str:
        if not self._drop_space or not token.text:
            return token.text
        self._drop_space = False
        return token.text.removeprefix(" ")


class WholeAnswer(Answer):
    """One JSON body when all is generated."""

    async def deliver(self, inbox: Inbox, send: Send) -> None:
        tokens: list[Token] = []
        while not tokens or tokens[-1].finish is None:
            tokens += await self.take(inbox)
        parts = [part for token in tokens for part in self.parts(token)]
        body = self.job.frames.whole(parts, *self.end(tokens[-1]))
        length = str(len(body)).encode()
        headers = [(b"content-type", b"application/json"), (b"content-length", length)]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})


class StreamedAnswer(Answer):
    """Server-sent events, each part of the answer as one event, those of a burst in one write.

    The answer begins with the first token, or with a ping if that takes long; from then on an
    error is an event, behind which the stream ends.
    """

    async def deliver(self, inbox: Inbox, send: Send) -> None:
        self._has_begun = False
        self._has_part = False
        try:
            while self._outcome == CANCELLED:
                await self._write(self._frames(await self.take(inbox)), send)
        except CloisterError as error:
            if not self._has_begun:
                raise
            await self._write(sse.frame(json.dumps(error.body()).encode()), send)
        await send({"type": "http.response.body", "body": sse.DONE})

    def _frames(self, tokens: list[Token]) -> bytes:
        if not tokens:
            return sse.PING
        frames = [self._frame(part) for token in tokens for part in self.parts(token)]
        if tokens[-1].finish is not None:
            if not self._has_part:
                frames.append(self._frame(Content("")))
            frames.append(self.job.frames.end(*self.end(tokens[-1])))
        return b"".join(frames)

    def _frame(self, part: Part) -> bytes:
        if self._has_part:
            return self.job.frames.part(part)
        self._has_part = True
        return self.job.frames.first(part)

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
