"""Bars what the grammars of a step forbid, before a token is chosen.

The next token's mask depends only on tokens already chosen, so with a large vocabulary all masks of
a step are made in a thread of their own while the model computes. With a small one that would cost
more than it saves: a mask takes some microseconds, and so does each change of threads.
"""

from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from cloister.errors import CloisterError, InternalError
from worker.engine.request import Constraint

SMALL = 2**15
"""Words up to which masks are made in the caller's own thread (docs/log.md)."""

Faults = Mapping[int, CloisterError]
"""By row: the grammars that cannot go on. Such rows stay free; their tokens count for nothing."""


@dataclass(frozen=True, slots=True)
class Bars:
    """`barred` bool [rows, vocabulary]: what may not be chosen; none if the step has no grammar."""

    barred: Tensor | None
    faults: Faults

    def apply(self, logits: Tensor) -> Tensor:
        """Logits, float32 [rows, vocabulary], with barred ones at minus infinity.

        The given ones stay as they are: log-probabilities are told from them.
        """
        if self.barred is None:
            return logits
        return logits.masked_fill(self.barred.to(logits.device), -torch.inf)


class Masks:
    """Makes masks; the thread, where there is one, starts with the first constrained sequence."""

    def __init__(self, vocabulary_size: int) -> None:
        self._size = vocabulary_size
        self._free = b"\xff" * -(-vocabulary_size // 8)
        self._thread = ThreadPoolExecutor(1, "grammar")
        self._none: Future[Bars] = Future()
        self._none.set_result(Bars(None, {}))

    def begin(self, constraints: Sequence[Constraint | None]) -> "Future[Bars]":
        """Start on a step's masks: one constraint a row of its logits, `None` bars nothing."""
        if all(constraint is None for constraint in constraints):
            return self._none
        if self._size <= SMALL:
            made: Future[Bars] = Future()
            made.set_result(self._bars(constraints))
            return made
        return self._thread.submit(self._bars, constraints)

    def close(self) -> None:
        """End the thread."""
        self._thread.shutdown()

    def _bars(self, constraints: Sequence[Constraint | None]) -> Bars:
        rows: list[bytes] = []
        faults: dict[int, CloisterError] = {}
        for row, constraint in enumerate(constraints):
            try:
                rows.append(self._free if constraint is None else constraint.allowed())
            except CloisterError as error:
                faults[row] = error
                rows.append(self._free)
        packed = np.frombuffer(b"".join(bits[: len(self._free)] for bits in rows), dtype=np.uint8)
        bits = np.unpackbits(~packed.reshape(len(rows), -1), 1, self._size, bitorder="little")
        barred = bits.view(np.bool_)
        for row in np.flatnonzero(barred.all(axis=1)).tolist():
            faults[row] = InternalError("the grammar leaves no token to choose")
            barred[row] = False
        return Bars(torch.from_numpy(barred), faults)
