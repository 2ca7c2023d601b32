"""Frames over TCP, each under a deadline: a peer that stalls costs a bounded time."""

import select
import socket
import time
from contextlib import suppress
from typing import Protocol
from urllib.parse import urlsplit

from cloister.errors import BadSettings
from worker.execution.split.wire import HEADER, Header

Payload = bytes | bytearray | memoryview


class Wire(Protocol):
    """Carries frames. One thread may send while another receives. Any failure is an `OSError`."""

    def send(self, header: Header, payload: Payload, timeout_s: float) -> None:
        """Hand over a frame."""

    def header(self, first_byte_s: float | None, rest_s: float) -> Header:
        """The next frame's header: wait for its first byte, then for the rest. `BadFrame`."""

    def payload(self, size_bytes: int, timeout_s: float) -> bytearray:
        """The bytes behind a header; the caller has checked the size."""

    def shut(self) -> None:
        """Wake up all who wait on it."""

    def close(self) -> None:
        """Give it back; nobody uses it any more."""


class Tcp:
    """A connected socket. `timeout_s` holds for the whole frame, not for each piece of it."""

    def __init__(self, connected: socket.socket) -> None:
        self._socket = connected
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        self._socket.setblocking(False)

    @classmethod
    def connect(cls, host: str, port: int, timeout_s: float) -> "Tcp":
        return cls(socket.create_connection((host, port), timeout_s))

    def send(self, header: Header, payload: Payload, timeout_s: float) -> None:
        deadline = time.monotonic() + timeout_s
        left = [memoryview(header.pack()), memoryview(payload).cast("B")]
        while left:
            try:
                sent = self._socket.sendmsg(left)
            except BlockingIOError:
                self._wait(select.POLLOUT, deadline)
                continue
            while left and sent >= len(left[0]):
                sent -= len(left.pop(0))
            if left:
                left[0] = left[0][sent:]

    def header(self, first_byte_s: float | None, rest_s: float) -> Header:
        raw = bytearray(HEADER.size)
        began = None if first_byte_s is None else time.monotonic() + first_byte_s
        self._fill(memoryview(raw)[:1], began)
        self._fill(memoryview(raw)[1:], time.monotonic() + rest_s)
        return Header.unpack(raw)

    def payload(self, size_bytes: int, timeout_s: float) -> bytearray:
        read = bytearray(size_bytes)
        self._fill(memoryview(read), time.monotonic() + timeout_s)
        return read

    def shut(self) -> None:
        with suppress(OSError):  # the peer may have gone first
            self._socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self.shut()
        self._socket.close()

    def _fill(self, place: memoryview, deadline: float | None) -> None:
        while len(place):
            try:
                count = self._socket.recv_into(place)
            except BlockingIOError:
                self._wait(select.POLLIN, deadline)
                continue
            if not count:
                raise ConnectionResetError("the peer closed the connection")
            place = place[count:]

    def _wait(self, event: int, deadline: float | None) -> None:
        poller = select.poll()
        poller.register(self._socket, event)
        left_s = None if deadline is None else deadline - time.monotonic()
        if left_s is not None and left_s <= 0:
            raise TimeoutError("the peer is too slow")
        if not poller.poll(None if left_s is None else left_s * 1000):
            raise TimeoutError("the peer is too slow")


def parse_tcp(name: str, url: str) -> tuple[str, int]:
    """Host and port of tcp://host:port. Raises `BadSettings`, naming the setting."""
    with suppress(ValueError):
        parts = urlsplit(url)
        extra = parts.path or parts.query or parts.fragment or parts.username
        if parts.scheme == "tcp" and parts.hostname and parts.port is not None and not extra:
            return parts.hostname, parts.port
    raise BadSettings(f"{name} = {url!r} must be an address such as tcp://127.0.0.1:50051")
