"""What a constraint leaves to choose from.

A mask depends only on tokens already chosen, so with a large vocabulary those that a step surely
needs are made in a thread of their own while the model computes. With a small one that would cost
more than it saves: a mask takes some microseconds, and so does each change of threads.
"""

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress

from cloister.errors import CloisterError
from worker.engine.request import Constraint

SMALL = 2**15
"""Words up to which masks are made only where they are used (docs/log.md)."""


class Masks:
    """Makes masks ahead; the thread, where there is one, starts with the first constraint."""

    def __init__(self, vocabulary_size: int) -> None:
        self._size = vocabulary_size
        self._thread = ThreadPoolExecutor(1, "grammar")
        self._made: Future[None] = Future()
        self._made.set_result(None)

    def begin(self, constraints: Sequence[Constraint]) -> "Future[None]":
        """Have the constraints know what they allow next. Until then nobody else may use them."""
        if not constraints or self._size <= SMALL:
            return self._made
        return self._thread.submit(_know, constraints)

    def close(self) -> None:
        """End the thread."""
        self._thread.shutdown()


def _know(constraints: Sequence[Constraint]) -> None:
    for constraint in constraints:
        with suppress(CloisterError):  # raised again where the mask is used
            constraint.allowed()
