"""What a client hears of one streamed answer: the SDK's view of it, and the bytes under that."""

import asyncio
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import httpx2

PATIENCE_S = 60
FAILURE = re.compile(rb'"error": ?\{')


@dataclass
class Heard:
    """Grows while the answer comes. `usage` is (prompt, generated) tokens, once told."""

    texts: list[str] = field(default_factory=list)
    finish: str | None = None
    usage: tuple[int, int] | None = None
    _news: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def text(self) -> str:
        return "".join(self.texts)

    def add(self, text: str | None) -> None:
        if text:
            self.texts.append(text)
            self._news.set()

    async def wait_for(self, count: int) -> None:
        """Until so many pieces of text came."""
        while len(self.texts) < count:
            self._news.clear()
            await asyncio.wait_for(self._news.wait(), PATIENCE_S)


class Recorder(httpx2.AsyncBaseTransport):
    """Passes requests on and keeps the bytes of each answer, by the order of asking."""

    def __init__(self) -> None:
        self.answers: list[bytearray] = []
        self._inner = httpx2.AsyncHTTPTransport()

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        kept = bytearray()
        self.answers.append(kept)
        response = await self._inner.handle_async_request(request)
        assert isinstance(response.stream, httpx2.AsyncByteStream)
        response.stream = _Kept(response.stream, kept)
        return response

    async def aclose(self) -> None:
        await self._inner.aclose()


class _Kept(httpx2.AsyncByteStream):
    """Behind an error the SDK reads no further; so what comes there is read before it hears."""

    def __init__(self, inner: httpx2.AsyncByteStream, kept: bytearray) -> None:
        self._inner = inner
        self._kept = kept

    async def __aiter__(self) -> AsyncIterator[bytes]:
        pieces = aiter(self._inner)
        async for piece in pieces:
            self._kept += piece
            if FAILURE.search(piece):
                self._kept += b"".join([rest async for rest in pieces])
            yield piece

    async def aclose(self) -> None:
        await self._inner.aclose()
