"""One request to a worker and its answer piece by piece, over connections that are kept open.

HTTP/1.1 on httptools, the parser that also reads requests here. httpx costs several times as much
a piece (`benchmarks/relay.py`), and a relay does little else than pass pieces.
"""

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

import httptools

from cloister.errors import Unavailable

Headers = Sequence[tuple[bytes, bytes]]

KEEP_S = 4.0  # below the 5 s after which uvicorn closes an idle connection
HELD_BYTES = 256 * 1024  # held for a slow client before the worker is made to wait
ANSWER_BEGINS = 200  # statuses below are only about the request


class Broken(Unavailable):
    """The worker could not be reached, or its answer broke off."""

    default_code = "worker_failed"


@dataclass(frozen=True, slots=True)
class Place:
    """Where connections go."""

    tls: bool
    host: str
    port: int

    @classmethod
    def of(cls, url: str) -> "Place":
        parts = urlsplit(url)
        tls = parts.scheme == "https"
        return cls(tls, parts.hostname or "", parts.port or (443 if tls else 80))


class Upstream:
    """Sends requests to workers."""

    def __init__(self, connect_timeout_s: float) -> None:
        self._connect_timeout_s = connect_timeout_s
        self._idle: defaultdict[Place, list[Connection]] = defaultdict(list)
        self._open: set[Connection] = set()

    async def ask(self, method: str, url: str, headers: Headers, body: bytes) -> "Answer":
        """Send, and wait for the answer's head for as long as it takes. Raises `Broken`.

        A kept connection may have been closed by the worker at the same moment; then a new one is
        taken, as nothing was answered on the old.
        """
        place, request = Place.of(url), _request(method, url, headers, body)
        kept = self._kept(place)
        if kept is not None:
            try:
                return await self._ask(place, kept, request)
            except Broken:
                pass
        return await self._ask(place, await self._connect(place), request)

    def close(self) -> None:
        """Cut all connections."""
        for connection in list(self._open):
            connection.cut()

    async def _ask(self, place: Place, connection: "Connection", request: bytes) -> "Answer":
        try:
            await connection.ask(request)
        except BaseException:
            connection.cut()
            raise
        return Answer(connection, self._idle[place])

    def _kept(self, place: Place) -> "Connection | None":
        """The connection that was used last; old ones are cut."""
        now = asyncio.get_running_loop().time()
        idle = self._idle[place]
        while idle:
            connection = idle.pop()
            if connection.is_open and now - connection.idle_since < KEEP_S:
                return connection
            connection.cut()
        return None

    async def _connect(self, place: Place) -> "Connection":
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._connect_timeout_s):
                _, connection = await loop.create_connection(
                    lambda: Connection(self._open), place.host, place.port, ssl=place.tls or None
                )
        except (OSError, TimeoutError) as error:  # TLS errors are OSErrors
            raise Broken("the worker cannot be reached") from error
        return connection


class Answer:
    """A begun answer. Whoever has it closes it; before its end that cuts the connection."""

    def __init__(self, connection: "Connection", idle: "list[Connection]") -> None:
        self._connection = connection
        self._idle = idle
        self.status = connection.status
        self.headers: Headers = connection.headers

    async def read(self, timeout_s: float | None = None) -> bytes:
        """All that has come, at least one byte; empty at the end.

        Raises:
            Broken: the answer broke off, or nothing came for `timeout_s`.
        """
        return await self._connection.read(timeout_s)

    def close(self) -> None:
        """Keep the connection for the next request, or cut it."""
        if self._connection.is_reusable:
            self._connection.idle_since = asyncio.get_running_loop().time()
            self._idle.append(self._connection)
        else:
            self._connection.cut()


class Connection(asyncio.Protocol):
    """One connection, one request at a time. httptools calls the `on_` methods."""

    def __init__(self, everyone: "set[Connection]") -> None:
        self._everyone = everyone
        self._transport: asyncio.Transport
        self._parser = httptools.HttpResponseParser(self)
        self._news: asyncio.Future[None] | None = None
        self._held: list[bytes] = []
        self._held_bytes = 0
        self._is_paused = False
        self._has_head = False
        self._has_ended = True
        self._ends_with_connection = False
        self._stays_open = False
        self.is_open = False
        self.idle_since = 0.0
        self.status = 0
        self.headers: list[tuple[bytes, bytes]] = []

    @property
    def is_reusable(self) -> bool:
        return self.is_open and self._has_ended and self._stays_open

    async def ask(self, request: bytes) -> None:
        """Send a request; then `status` and `headers` are those of its answer."""
        self._has_head = self._has_ended = self._ends_with_connection = False
        if self.is_open:
            self._transport.write(request)
        while not self._has_head:
            await self._wait(None)

    async def read(self, timeout_s: float | None) -> bytes:
        while not self._held and not self._has_ended:
            await self._wait(timeout_s)
        pieces, self._held, self._held_bytes = self._held, [], 0
        if self._is_paused:
            self._is_paused = False
            self._transport.resume_reading()
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def cut(self) -> None:
        """Close at once, whatever is under way."""
        if self.is_open:
            self._transport.abort()

    async def _wait(self, timeout_s: float | None) -> None:
        if not self.is_open:
            raise Broken("the worker's answer broke off")
        loop = asyncio.get_running_loop()
        self._news = loop.create_future()
        # asyncio.timeout costs several times as much, for each piece of each answer.
        alarm = loop.call_later(timeout_s, self.cut) if timeout_s is not None else None
        try:
            await self._news
        finally:
            self._news = None
            if alarm is not None:
                alarm.cancel()

    def _tell(self) -> None:
        if self._news is not None and not self._news.done():
            self._news.set_result(None)

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._everyone.add(self)
        self.is_open = True

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self.cut()
        self._tell()

    def connection_lost(self, exc: Exception | None) -> None:
        self._everyone.discard(self)
        self.is_open = False
        if self._ends_with_connection and exc is None:
            self._has_ended = True
        self._tell()

    # httptools

    def on_message_begin(self) -> None:
        self.headers = []

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        self.status = self._parser.get_status_code()
        if self.status >= ANSWER_BEGINS:
            names = {name for name, _ in self.headers}
            self._ends_with_connection = not names & {b"content-length", b"transfer-encoding"}
            self._stays_open = self._parser.should_keep_alive()
            self._has_head = True

    def on_body(self, body: bytes) -> None:
        self._held.append(body)
        self._held_bytes += len(body)
        if self._held_bytes > HELD_BYTES and not self._is_paused:
            self._is_paused = True
            self._transport.pause_reading()

    def on_message_complete(self) -> None:
        if self.status >= ANSWER_BEGINS:
            self._has_ended = True


def _request(method: str, url: str, headers: Headers, body: bytes) -> bytes:
    parts = urlsplit(url)
    target = f"{parts.path}?{parts.query}" if parts.query else parts.path
    lines = [
        f"{method} {target} HTTP/1.1\r\nhost: {parts.netloc}\r\n".encode(),
        *(b"%b: %b\r\n" % pair for pair in headers),
        b"content-length: %d\r\n\r\n" % len(body),
        body,
    ]
    return b"".join(lines)
