"""What a transport must do to carry split execution: bytes in order, each step under a deadline.

Deadlines are times of `time.monotonic`. Any failure is an `OSError`.
"""

from collections.abc import Sequence
from typing import Protocol


class Pipe(Protocol):
    """Carries bytes in order. One thread may write while another reads."""

    def write(self, pieces: Sequence[memoryview], deadline: float) -> None:
        """Hand over all of them."""

    def read(self, place: memoryview, deadline: float | None) -> int:
        """Put bytes into `place`, at least one; `ConnectionError` when no more will come."""

    def shut(self) -> None:
        """Wake up all who wait on it; they fail."""

    def close(self) -> None:
        """Give it back; nobody uses it any more. What was written still arrives."""


class Listener(Protocol):
    """A place where pipes arrive, taken already. `url` tells where, with a port that is real."""

    url: str

    def start(self) -> None:
        """From here on who knocks waits for `accept`."""

    def accept(self) -> Pipe:
        """The next pipe. Raises `OSError` when closed."""

    def close(self) -> None:
        """Take no more. Pipes that were accepted live on."""
