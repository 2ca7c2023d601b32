"""One session over ZeroMQ: bytes in msgpack envelopes, with credit.

ZeroMQ tells neither when a peer comes or goes nor when it reads too slowly, so envelopes say it:
`OPEN` begins a session (the server answers with the same), `DATA` has bytes, `CREDIT` allows as
many more, `CLOSE` ends it. Whoever sends more than it was allowed is cut off, so memory stays
bounded.
"""

import threading
import time
from collections.abc import Callable, Sequence
from enum import IntEnum

import msgpack

from worker.execution.split.wires.mailbox import Mailbox

PIECE_BYTES = 2**18
WINDOW_BYTES = 4 * 2**20  # sent and not yet read, in each direction of a session
Envelope = tuple["Say", bytes | int]


class Say(IntEnum):
    OPEN = 1
    DATA = 2
    CREDIT = 3
    CLOSE = 4


class Zmq:
    """One session on a socket that others share: `post` sends an envelope, `leave` ends it."""

    def __init__(self, post: Callable[[Envelope], None], leave: Callable[[], None]) -> None:
        self.opened = threading.Event()
        self._post = post
        self._leave = leave
        self._arrived = Mailbox(WINDOW_BYTES)
        self._changed = threading.Condition()
        self._credit_bytes = WINDOW_BYTES
        self._read_bytes = 0  # not yet told as credit
        self._ended = False

    def write(self, pieces: Sequence[memoryview], deadline: float) -> None:
        for piece in pieces:
            for start in range(0, len(piece), PIECE_BYTES):
                part = bytes(piece[start : start + PIECE_BYTES])
                self._spend(len(part), deadline)
                self._post((Say.DATA, part))

    def read(self, place: memoryview, deadline: float | None) -> int:
        count = self._arrived.read(place, deadline)
        self._read_bytes += count
        if self._read_bytes >= WINDOW_BYTES // 2:
            self._post((Say.CREDIT, self._read_bytes))
            self._read_bytes = 0
        return count

    def shut(self) -> None:
        self._post((Say.CLOSE, 0))
        self.ended()

    def close(self) -> None:
        self.shut()
        self._leave()

    def ended(self) -> None:
        """Told by the hub: nothing more comes or goes."""
        self._arrived.end()
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def hear(self, say: Say, value: bytes | int) -> bool:
        """Take an envelope; false if the peer breaks the rules."""
        if say is Say.DATA:
            return isinstance(value, bytes) and self._arrived.offer(value)
        if say is Say.CREDIT:
            return isinstance(value, int) and self._earn(value)
        if say is Say.CLOSE:
            self.ended()
        elif self.opened.is_set():
            return False  # once is enough
        self.opened.set()
        return True

    def wait_until_open(self, timeout_s: float) -> None:
        """Raises `OSError`."""
        if not self.opened.wait(timeout_s):
            raise TimeoutError("no server answers")
        if self._ended:
            raise ConnectionRefusedError("the server has no room")

    def _spend(self, size_bytes: int, deadline: float) -> None:
        left_s = max(0.0, deadline - time.monotonic())
        with self._changed:
            if not self._changed.wait_for(
                lambda: self._ended or self._credit_bytes >= size_bytes, left_s
            ):
                raise TimeoutError("the peer is too slow")
            if self._ended:
                raise ConnectionResetError("the connection has ended")
            self._credit_bytes -= size_bytes

    def _earn(self, size_bytes: int) -> bool:
        with self._changed:
            if not 0 <= size_bytes <= WINDOW_BYTES - self._credit_bytes:
                return False
            self._credit_bytes += size_bytes
            self._changed.notify_all()
        return True


def packed(envelope: Envelope) -> bytes:
    raw: bytes = msgpack.packb(envelope)
    return raw


def unpacked(raw: bytes) -> Envelope:
    """An envelope, or one that nobody may send."""
    limits = {"max_array_len": 2, "max_map_len": 0, "max_str_len": 0, "max_ext_len": 0}
    try:
        say, value = msgpack.unpackb(raw, **limits)
        if isinstance(value, bytes | int):
            return Say(say), value
    except (ValueError, TypeError):
        pass
    return Say.DATA, -1
