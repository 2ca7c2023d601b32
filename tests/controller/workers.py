"""Workers that play a script on a bare socket, so that they can break off anywhere."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
DONE = b"data: [DONE]\n\n"


@dataclass(frozen=True)
class Asked:
    path: str
    headers: dict[str, str]
    body: bytes


Play = Callable[[Asked, asyncio.StreamWriter], Awaitable[None]]


@dataclass
class FakeWorker:
    """`url`, what it was asked, and whether somebody left before the end of an answer."""

    play: Play
    url: str = ""
    asked: list[Asked] = field(default_factory=list)
    was_asked: asyncio.Event = field(default_factory=asyncio.Event)
    left: asyncio.Event = field(default_factory=asyncio.Event)
    writers: list[asyncio.StreamWriter] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writers.append(writer)
        try:
            while asked := await _read_request(reader):
                self.asked.append(asked)
                self.was_asked.set()
                playing = asyncio.ensure_future(self.play(asked, writer))
                leaving = asyncio.ensure_future(_left(reader))
                await asyncio.wait((playing, leaving), return_when=asyncio.FIRST_COMPLETED)
                if not playing.done() or isinstance(playing.exception(), ConnectionError):
                    self.left.set()
                for task in (playing, leaving):
                    task.cancel()
                await asyncio.wait((playing, leaving))
                if not playing.cancelled() and not isinstance(playing.exception(), ConnectionError):
                    playing.result()
                if writer.is_closing() or self.left.is_set():
                    return
        finally:
            writer.close()


@asynccontextmanager
async def worker(play: Play) -> AsyncIterator[FakeWorker]:
    fake = FakeWorker(play)
    server = await asyncio.start_server(fake.serve, "127.0.0.1", 0)
    fake.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield fake
    finally:
        server.close()
        for writer in fake.writers:
            writer.transport.abort()
        await asyncio.sleep(0.01)  # the tasks of the connections end


def stream(*pieces: bytes, cut: bool = False, hang: bool = False, gap_s: float = 0.0) -> Play:
    """Pieces as chunks of their own; then the end, or a cut, or nothing any more."""

    async def play(_: Asked, writer: asyncio.StreamWriter) -> None:
        writer.write(HEAD)
        for piece in pieces:
            writer.write(b"%x\r\n%b\r\n" % (len(piece), piece))
            await writer.drain()
            await asyncio.sleep(gap_s)
        if hang:
            await asyncio.Event().wait()
        if cut:
            writer.close()
        else:
            writer.write(b"0\r\n\r\n")

    return play


def whole(status: int = 200, body: bytes = b"{}", length: int | None = None, **more: str) -> Play:
    """A JSON answer; `length` lies about its length, and then the connection is cut."""

    async def play(_: Asked, writer: asyncio.StreamWriter) -> None:
        headers = {"content-type": "application/json", **more}
        headers["content-length"] = str(len(body) if length is None else length)
        lines = [f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items()]
        writer.write(f"HTTP/1.1 {status} X\r\n{''.join(lines)}\r\n".encode() + body)
        if length is not None:
            writer.close()

    return play


async def reset(_: Asked, writer: asyncio.StreamWriter) -> None:
    """Takes the request and breaks off."""
    writer.transport.abort()


async def silent(_: Asked, writer: asyncio.StreamWriter) -> None:
    """Takes the request and never says a word."""
    await asyncio.Event().wait()


def event(text: str) -> bytes:
    return b"data: " + json.dumps({"choices": [{"delta": {"content": text}}]}).encode() + b"\n\n"


async def _read_request(reader: asyncio.StreamReader) -> Asked | None:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except (asyncio.IncompleteReadError, ConnectionResetError):
        return None
    first, *lines = head.decode().strip().split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    return Asked(
        first.split()[1], headers, await reader.readexactly(int(headers["content-length"]))
    )


async def _left(reader: asyncio.StreamReader) -> None:
    """Until the other side closes; it sends nothing while it waits for an answer."""
    try:
        while not reader.at_eof():
            await asyncio.sleep(0.005)
            if reader.exception():
                return
    except ConnectionResetError:
        return
