"""An ASGI app behind a real socket, in a thread."""

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import uvicorn


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.up = threading.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.loop = asyncio.get_running_loop()
        self.up.set()

    def cut(self) -> None:
        for server in self.servers:
            server.close()
        for connection in list(self.server_state.connections):
            connection.transport.abort()  # type: ignore[union-attr]


@dataclass(frozen=True)
class Serving:
    """Where an app is served."""

    url: str
    server: _Server

    def kill(self) -> None:
        """What the others see when its process is killed: connections end, none is taken."""
        asyncio.run_coroutine_threadsafe(_call(self.server.cut), self.server.loop).result(20)


async def _call(function: Any) -> None:
    function()


@contextmanager
def serving(app: Any) -> Iterator[str]:
    """The app's address while inside."""
    with killable(app) as served:
        yield served.url


@contextmanager
def killable(app: Any) -> Iterator[Serving]:
    """An app that is served, and can be killed."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        config = uvicorn.Config(app, log_config=None, access_log=False, timeout_graceful_shutdown=1)
        server = _Server(config)
        thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
        thread.start()
        assert server.up.wait(20)
        try:
            yield Serving(f"http://127.0.0.1:{listener.getsockname()[1]}", server)
        finally:
            server.should_exit = True
            thread.join(20)
