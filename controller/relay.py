"""One request to the worker that answers soonest, and its answer back, as bytes.

Until the first byte of an answer another worker may be tried; nobody has seen anything yet. From
then on an answer that breaks off ends with an error event, or, if it is no stream, is cut.
"""

import asyncio
import logging
import time
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any

from pydantic import SecretStr
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from cloister import anthropic
from cloister.errors import Busy, CloisterError, TooLarge, Unavailable
from cloister.fleet import TENANT_HEADER, TOKEN_HEADER
from cloister.response_id import not_found, previous_not_found
from controller.frames import Events, Frames, MessageEvents, Plain
from controller.metrics import Metrics
from controller.registry import Member, Registry
from controller.upstream import Answer, Broken, Headers, Upstream

BYTES_PER_TOKEN = 4  # of a prompt in JSON, roughly
ANSWER_TOKENS = 256  # what an answer is taken for until the worker's next beat tells

NEXT_PLEASE = (401, 403, 502, 503, 504)  # this worker will not answer, another one may
DEFAULT_RETRY_S = 1.0

ENDS_HERE = frozenset(
    b"connection keep-alive proxy-authenticate proxy-connection te trailer transfer-encoding"
    b" upgrade date server".split()
)
"""Hop-by-hop headers (RFC 9110, section 7.6.1), and those that our own server writes."""

log = logging.getLogger(__name__)


class Silent(Unavailable):
    """A worker took the request and did not answer in time; it may still be at it."""

    default_code = "worker_silent"


@dataclass(frozen=True, slots=True)
class Ask:
    """A request on its way to a worker: one of those of `model`, or the one that has the `tag`.

    `headers` are those of the client that may pass.
    """

    path: str
    model: str | None
    tenant: str
    headers: Headers = field(repr=False)
    body: bytes = field(repr=False)
    method: str = "POST"
    tag: str | None = None
    began: float = field(default_factory=time.perf_counter)

    @property
    def tokens(self) -> int:
        """A guess at the work, good enough to spread requests between two beats."""
        return len(self.body) // BYTES_PER_TOKEN + ANSWER_TOKENS


@dataclass(frozen=True, slots=True)
class Begun:
    """An answer whose first piece is here."""

    member: Member
    answer: Answer
    first: bytes
    path: str


class Relay:
    """Finds workers for requests and passes bytes."""

    def __init__(
        self,
        registry: Registry,
        upstream: Upstream,
        metrics: Metrics,
        join_token: SecretStr,
        first_byte_timeout_s: float,
        silence_timeout_s: float,
    ) -> None:
        self._registry = registry
        self._upstream = upstream
        self._metrics = metrics
        self._token = (TOKEN_HEADER.encode(), join_token.get_secret_value().encode())
        self._first_byte_timeout_s = first_byte_timeout_s
        self._silence_timeout_s = silence_timeout_s

    async def begin(self, ask: Ask) -> Begun:
        """Ask one worker after the other for its first byte.

        Raises:
            NotFound: nobody serves the model.
            Unavailable: nobody does just now, or all that do failed.
            Busy: all are full; the smallest of their `Retry-After`.
        """
        if ask.tag is not None:
            return await self._begin_at_holder(ask, ask.tag)
        assert ask.model is not None, "a request names a model or a worker"
        self._registry.check(ask.model)
        tried: set[str] = set()
        waits_s: list[float] = []
        while member := self._registry.pick(ask.model, ask.tokens, tried):
            if tried:
                self._metrics.retries.inc()
            tried.add(member.id)
            try:
                return await self._try(member, ask)
            except Busy as full:
                waits_s.append(full.retry_after_s)
            except Broken:
                self._registry.suspend(member)
        if waits_s:
            message = "all workers of this model are full; retry after the time in Retry-After"
            raise Busy(message, retry_after_s=min(waits_s))
        raise self._registry.no_worker()

    async def _begin_at_holder(self, ask: Ask, tag: str) -> Begun:
        """Only this worker has what the request speaks of."""
        member = self._registry.holder(tag)
        if member is None:
            raise not_found() if ask.model is None else previous_not_found()
        if ask.model is not None:
            member.send(ask.tokens)
        try:
            return await self._try(member, ask)
        except Broken:
            self._registry.suspend(member)
            raise self._registry.no_worker() from None

    async def finish(self, begun: Begun, send: Send) -> None:
        """Pass the answer on to its end, and close it, whatever happens."""
        try:
            await self._pass(begun, send)
        finally:
            begun.answer.close()

    async def _try(self, member: Member, ask: Ask) -> Begun:
        try:
            async with asyncio.timeout(self._first_byte_timeout_s):
                return await self._open(member, ask)
        except TimeoutError:
            limit = f"{self._first_byte_timeout_s:g} s"
            raise Silent(f"the worker gave no first byte within {limit}") from None

    async def _open(self, member: Member, ask: Ask) -> Begun:
        headers = (*ask.headers, self._token, (TENANT_HEADER.encode(), ask.tenant.encode()))
        answer = await self._upstream.ask(ask.method, member.url + ask.path, headers, ask.body)
        try:
            _check_status(answer)
            first = await answer.read()
        except BaseException:
            answer.close()
            raise
        self._metrics.first_byte.observe(time.perf_counter() - ask.began)
        return Begun(member, answer, first, ask.path)

    async def _pass(self, begun: Begun, send: Send) -> None:
        answer, piece = begun.answer, begun.first
        frames = _frames(answer, begun.path)
        await send(_start(answer))
        size_bytes = 0
        try:
            while piece:
                size_bytes += len(piece)
                if ready := frames.take(piece):
                    await send({"type": "http.response.body", "body": ready, "more_body": True})
                piece = await answer.read(self._silence_timeout_s)
        except (Broken, TooLarge) as error:
            self._metrics.broken.inc()
            self._registry.suspend(begun.member)
            await _end_broken(frames, error, send)
        else:
            await send({"type": "http.response.body", "body": frames.rest()})
        finally:
            self._metrics.relayed_bytes.inc(size_bytes)


class RelayedAnswer(Response):
    """Runs when called. The worker hears at once when the client leaves."""

    def __init__(self, relay: Relay, ask: Ask) -> None:
        super().__init__()
        self._relay = relay
        self._ask = ask

    async def __call__(self, _: Scope, receive: Receive, send: Send) -> None:
        await unless_left(self._run(send), receive)

    async def _run(self, send: Send) -> None:
        begun = await self._relay.begin(self._ask)
        await self._relay.finish(begun, send)


async def unless_left(work: Coroutine[Any, Any, None], receive: Receive) -> None:
    """Do `work`, but cancel it when the client leaves. The body must have been read."""
    working = asyncio.create_task(work)
    leaving = asyncio.create_task(_left(receive))
    try:
        await asyncio.wait((working, leaving), return_when=asyncio.FIRST_COMPLETED)
    finally:
        await _cancel(leaving)
        await _cancel(working)
    if not working.cancelled():
        working.result()


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _cancel(task: asyncio.Task[None]) -> None:
    """End a task and wait for its end; what it raised stays in it."""
    task.cancel()
    await asyncio.wait((task,))


def _check_status(answer: Answer) -> None:
    if answer.status == 429:
        raise Busy("this worker is full", retry_after_s=_retry_after_s(answer.headers))
    if answer.status in NEXT_PLEASE:
        raise Broken(f"this worker answers with status {answer.status}")


def _retry_after_s(headers: Headers) -> float:
    value = dict(headers).get(b"retry-after", b"")
    return float(value) if value.isdigit() else DEFAULT_RETRY_S


def _frames(answer: Answer, path: str) -> Frames:
    kind = dict(answer.headers).get(b"content-type", b"")
    if not kind.startswith(b"text/event-stream"):
        return Plain()
    return MessageEvents() if anthropic.owns(path) else Events()


def _start(answer: Answer) -> dict[str, Any]:
    named = dict(answer.headers).get(b"connection", b"").lower().split(b",")
    left_out = ENDS_HERE | {name.strip() for name in named}
    headers = [pair for pair in answer.headers if pair[0].lower() not in left_out]
    return {"type": "http.response.start", "status": answer.status, "headers": headers}


async def _end_broken(frames: Frames, error: CloisterError, send: Send) -> None:
    """Without an ending the answer stays unfinished, and the server cuts the connection."""
    ending = frames.ending(error)
    if ending is not None:
        await send({"type": "http.response.body", "body": ending})
