"""Runs an ASGI app on a socket that was bound before anything slow began. One process, one loop."""

import asyncio
import logging
import signal
import socket
from collections.abc import Callable, Generator
from contextlib import contextmanager

import uvicorn
from starlette.types import ASGIApp

from cloister.errors import BadSettings
from cloister.ports import bind

log = logging.getLogger(__name__)

GRACE_S = 5  # running answers may go on so long after a signal to stop


def listen(host: str, port: int) -> socket.socket:
    """Bind, so that a port in use is told at once; connections are refused until `serve`.

    Raises:
        BadSettings: the address cannot be bound.
    """
    try:
        return bind(host, port)
    except OSError as error:
        reason = error.strerror or str(error)
        raise BadSettings(f"cannot listen on {host}, port {port} (--port): {reason}") from None


async def serve(
    app: ASGIApp, bound: socket.socket, *, grace_s: int = GRACE_S, on_stop: Callable[[], None]
) -> None:
    """Serve until SIGINT or SIGTERM; then call `on_stop`, and give open answers `grace_s`."""
    config = uvicorn.Config(
        app,
        loop="asyncio",
        http="httptools",
        ws="none",
        access_log=False,
        log_config=None,
        server_header=False,
        timeout_graceful_shutdown=grace_s,
    )
    server = _Server(config)

    def stop() -> None:
        on_stop()
        server.should_exit = True

    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop)
    bound.listen()  # whoever reads the next line and connects at once waits instead of failing
    log.info("serving at %s", url_of(bound))
    await server.serve(sockets=[bound])
    log.info("stopped")


def url_of(bound: socket.socket) -> str:
    """The address under which a bound socket is reached."""
    host, port = bound.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


class _Server(uvicorn.Server):
    """uvicorn's, which leaves signals to us: it would raise them again once it has stopped."""

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield
