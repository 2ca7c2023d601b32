"""Accepts workers and gives each a session; bounded in sessions, calls and bytes."""

import logging
import socket
import threading

from cloister.errors import BadSettings
from worker.execution.split.tcp import Tcp
from worker.execution.split.wire import DTYPES
from worker.gpu.batcher import Batcher
from worker.gpu.budget import Budget
from worker.gpu.session import House, Session
from worker.gpu.shelf import Shelf

log = logging.getLogger(__name__)


class Server:
    """Serves a shelf on a socket that is bound already."""

    def __init__(
        self,
        shelf: Shelf,
        bound: socket.socket,
        *,
        token: bytes = b"",
        most_rows: int = 128,
        most_sessions: int = 16,
        memory_bytes: int = 512 * 2**20,
    ) -> None:
        largest = _largest_call(shelf, most_rows)
        if largest > memory_bytes:
            raise BadSettings(
                f"memory_mb is too small: one call of {most_rows} rows takes {largest} bytes"
            )
        self._bound = bound
        self._most_sessions = most_sessions
        self.batcher = Batcher(shelf, most_rows)
        self.budget = Budget(memory_bytes)
        self._house = House(shelf, self.batcher, self.budget, most_rows, token)
        self._sessions: dict[Session, threading.Thread] = {}
        self._lock = threading.Lock()
        self._closed = False
        bound.listen()  # who knocks from here on waits for `run`

    def run(self) -> None:
        """Accept until `close` is called."""
        self.batcher.start()
        while not self._closed:
            try:
                connected, _ = self._bound.accept()
            except OSError:
                break  # closed
            self._admit(connected)

    def close(self) -> None:
        """Stop accepting, end all sessions, wait for them."""
        self._closed = True
        self._bound.shutdown(socket.SHUT_RDWR)
        with self._lock:
            living = dict(self._sessions)
        for session in living:
            session.stop()
        for thread in living.values():
            thread.join()
        self.batcher.close()

    def _admit(self, connected: socket.socket) -> None:
        with self._lock:
            if self._closed or len(self._sessions) >= self._most_sessions:
                log.warning("%d workers are connected; one more is sent away", len(self._sessions))
                connected.close()
                return
            session = Session(Tcp(connected), self._house)
            thread = threading.Thread(
                target=self._serve, args=(session,), name="session", daemon=True
            )
            self._sessions[session] = thread
            thread.start()

    def _serve(self, session: Session) -> None:
        try:
            session.run()
        finally:
            with self._lock:
                del self._sessions[session]


def _largest_call(shelf: Shelf, most_rows: int) -> int:
    widths = max(linear.inputs + linear.outputs for linear in shelf.linears.values())
    return most_rows * widths * DTYPES[shelf.kind].itemsize
