"""Pieces of bytes on their way between two threads, never more than fit."""

import threading
import time
from collections import deque
from collections.abc import Callable


class Mailbox:
    """Who puts waits for room, who takes waits for bytes, and both fail once it has ended."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._pieces: deque[memoryview] = deque()
        self._held_bytes = 0
        self._ended = False
        self._changed = threading.Condition()

    def put(self, piece: bytes, deadline: float | None) -> None:
        """Wait for room; one piece always fits into an empty box."""
        with self._changed:
            self._wait(lambda: self._ended or self._has_room(len(piece)), deadline)
            if self._ended:
                raise ConnectionResetError("the connection has ended")
            self._add(piece)

    def offer(self, piece: bytes) -> bool:
        """Put it if there is room now."""
        with self._changed:
            if self._ended or not self._has_room(len(piece)):
                return False
            self._add(piece)
            return True

    def take(self, deadline: float | None) -> memoryview:
        """The next piece, what was put before the end included. `ConnectionResetError` then."""
        with self._changed:
            self._wait(lambda: self._ended or self._pieces, deadline)
            if not self._pieces:
                raise ConnectionResetError("the connection has ended")
            piece = self._pieces.popleft()
            self._held_bytes -= len(piece)
            self._changed.notify_all()
            return piece

    def read(self, place: memoryview, deadline: float | None) -> int:
        """Bytes of the next piece, as many as `place` has room for."""
        piece = self.take(deadline)
        count = min(len(place), len(piece))
        place[:count] = piece[:count]
        if count < len(piece):
            with self._changed:
                self._pieces.appendleft(piece[count:])
                self._held_bytes += len(piece) - count
        return count

    def end(self) -> None:
        """Nothing more is put; what is there may be taken."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def _has_room(self, size_bytes: int) -> bool:
        return not self._pieces or self._held_bytes + size_bytes <= self._limit_bytes

    def _add(self, piece: bytes) -> None:
        if piece:
            self._pieces.append(memoryview(piece))
            self._held_bytes += len(piece)
            self._changed.notify_all()

    def _wait(self, ready: Callable[[], object], deadline: float | None) -> None:
        left_s = None if deadline is None else max(0.0, deadline - time.monotonic())
        if not self._changed.wait_for(ready, left_s):
            raise TimeoutError("the peer is too slow")
