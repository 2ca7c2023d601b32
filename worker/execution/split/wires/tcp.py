"""Bytes over TCP, as they are: the wire that every home has."""

import select
import socket
import time
from collections.abc import Callable, Sequence
from contextlib import suppress

from cloister.ports import bind
from worker.execution.split.address import Address, Identity, is_loopback
from worker.execution.split.pipe import Pipe

LOOPBACK_BYTES = 2**18  # on their way within one machine: so few stay in the cache


class Tcp:
    """A connected socket."""

    def __init__(self, connected: socket.socket) -> None:
        self._socket = prepared(connected)

    def write(self, pieces: Sequence[memoryview], deadline: float) -> None:
        left = list(pieces)
        while left:
            try:
                sent = self._socket.sendmsg(left)
            except BlockingIOError:
                wait(self._socket, select.POLLOUT, deadline)
                continue
            while left and sent >= len(left[0]):
                sent -= len(left.pop(0))
            if left:
                left[0] = left[0][sent:]

    def read(self, place: memoryview, deadline: float | None) -> int:
        while True:
            try:
                count = self._socket.recv_into(place)
            except BlockingIOError:
                wait(self._socket, select.POLLIN, deadline)
                continue
            if not count:
                raise ConnectionResetError("the peer closed the connection")
            return count

    def shut(self) -> None:
        with suppress(OSError):  # the peer may have gone first
            self._socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self.shut()
        self._socket.close()


class TcpListener:
    """A bound socket; `wrap` makes pipes of those that connect."""

    def __init__(self, address: Address, wrap: Callable[[socket.socket], Pipe]) -> None:
        self._wrap = wrap
        self._bound = bind(address.host, address.port)
        self.url = address.at(self._bound.getsockname()[1]).url

    def start(self) -> None:
        self._bound.listen()

    def accept(self) -> Pipe:
        return self._wrap(self._bound.accept()[0])

    def close(self) -> None:
        with suppress(OSError):  # it may never have listened
            self._bound.shutdown(socket.SHUT_RDWR)  # wakes up who waits in `accept`
        self._bound.close()


def connect(address: Address, timeout_s: float) -> Tcp:
    return Tcp(socket.create_connection((address.host, address.port), timeout_s))


def listen(address: Address, identity: Identity | None) -> TcpListener:
    del identity
    return TcpListener(address, Tcp)


def prepared(connected: socket.socket) -> socket.socket:
    """It sends at once, notices a peer that is gone, and never blocks."""
    connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if is_loopback(connected.getsockname()[0]):
        with suppress(OSError):  # a library OS may not know it, and all works without
            for buffer in (socket.SO_SNDBUF, socket.SO_RCVBUF):
                connected.setsockopt(socket.SOL_SOCKET, buffer, LOOPBACK_BYTES)
    connected.setblocking(False)
    return connected


def wait(connected: socket.socket, event: int, deadline: float | None) -> None:
    """Until the socket can go on. Raises `TimeoutError`."""
    poller = select.poll()
    poller.register(connected, event)
    left_s = None if deadline is None else deadline - time.monotonic()
    if left_s is not None and left_s <= 0:
        raise TimeoutError("the peer is too slow")
    if not poller.poll(None if left_s is None else left_s * 1000):
        raise TimeoutError("the peer is too slow")
