"""Frames over a pipe, each under a deadline: a peer that stalls costs a bounded time."""

import time
from typing import Protocol

import numpy as np

from worker.execution.split.pipe import Pipe
from worker.execution.split.wire import HEADER, Header

Memory = bytearray | memoryview  # may be written to
Payload = bytes | Memory


class Wire(Protocol):
    """Carries frames. One thread may send while another receives. Any failure is an `OSError`."""

    def send(self, header: Header, payload: Payload, timeout_s: float) -> None:
        """Hand over a frame."""

    def header(self, first_byte_s: float | None, rest_s: float) -> Header:
        """The next frame's header: wait for its first byte, then for the rest. `BadFrame`."""

    def payload(self, size_bytes: int, timeout_s: float) -> Memory:
        """The bytes behind a header; the caller has checked the size."""

    def shut(self) -> None:
        """Wake up all who wait on it."""

    def close(self) -> None:
        """Give it back; nobody uses it any more."""


class Frames:
    """Satisfies `Wire`. `timeout_s` holds for the whole frame, not for each piece of it."""

    def __init__(self, pipe: Pipe) -> None:
        self._pipe = pipe

    def send(self, header: Header, payload: Payload, timeout_s: float) -> None:
        pieces = (memoryview(header.pack()), memoryview(payload).cast("B"))
        self._pipe.write(pieces, time.monotonic() + timeout_s)

    def header(self, first_byte_s: float | None, rest_s: float) -> Header:
        raw = bytearray(HEADER.size)
        began = None if first_byte_s is None else time.monotonic() + first_byte_s
        count = self._pipe.read(memoryview(raw), began)
        self._fill(memoryview(raw)[count:], time.monotonic() + rest_s)
        return Header.unpack(raw)

    def payload(self, size_bytes: int, timeout_s: float) -> Memory:
        read = np.empty(size_bytes, np.uint8).data  # a bytearray would be zeroed first
        self._fill(read, time.monotonic() + timeout_s)
        return read

    def shut(self) -> None:
        self._pipe.shut()

    def close(self) -> None:
        self._pipe.close()

    def _fill(self, place: memoryview, deadline: float) -> None:
        while len(place):
            place = place[self._pipe.read(place, deadline) :]
