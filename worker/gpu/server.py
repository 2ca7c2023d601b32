"""Accepts workers and gives each a session; bounded in sessions, calls and bytes."""

import logging
import threading

from cloister.errors import BadSettings
from worker.execution.split.frames import Frames
from worker.execution.split.pipe import Listener, Pipe
from worker.execution.split.wire import DTYPES, Kind
from worker.gpu.batcher import Batcher
from worker.gpu.budget import Budget
from worker.gpu.session import House, Session
from worker.gpu.shelf import Shelf

RETRY_S = 0.1  # after a connection that could not be taken

log = logging.getLogger(__name__)


class Server:
    """Serves a shelf at a place that is taken already: as a GPU, or with seeds as a helper."""

    def __init__(
        self,
        shelf: Shelf,
        listener: Listener,
        *,
        token: bytes = b"",
        most_rows: int = 128,
        most_sessions: int = 16,
        memory_bytes: int = 512 * 2**20,
        takes_seeds: bool = False,
    ) -> None:
        largest = _largest_call(shelf, most_rows)
        if largest > memory_bytes:
            raise BadSettings(
                f"memory_mb is too small: one call of {most_rows} rows takes {largest} bytes"
            )
        self.url = listener.url
        self._listener = listener
        self._most_sessions = most_sessions
        self.batcher = Batcher(shelf, most_rows)
        self.budget = Budget(memory_bytes)
        kind = Kind.SEED if takes_seeds else shelf.kind
        self._house = House(shelf, self.batcher, self.budget, most_rows, token, kind)
        self._sessions: dict[Session, threading.Thread] = {}
        self._lock = threading.Lock()
        self._closed = threading.Event()
        listener.start()  # who knocks from here on waits for `run`

    def run(self) -> None:
        """Accept until `close` is called."""
        self.batcher.start()
        while not self._closed.is_set():
            try:
                pipe = self._listener.accept()
            except OSError as error:
                self._bear(error)
                continue
            self._admit(pipe)

    def close(self) -> None:
        """Stop accepting, end all sessions, wait for them."""
        self._closed.set()
        self._listener.close()
        with self._lock:
            living = dict(self._sessions)
        for session in living:
            session.stop()
        for thread in living.values():
            thread.join()
        self.batcher.close()

    def _bear(self, error: OSError) -> None:
        """One connection that could not be taken is no reason to take no more."""
        if not self._closed.wait(RETRY_S):
            log.warning("a connection could not be taken: %s", error.strerror or error)

    def _admit(self, pipe: Pipe) -> None:
        with self._lock:
            if self._closed.is_set() or len(self._sessions) >= self._most_sessions:
                log.warning("%d workers are connected; one more is sent away", len(self._sessions))
                pipe.shut()
                pipe.close()
                return
            session = Session(Frames(pipe), self._house)
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
