"""Runs several pieces of a step through the layers at once, so that none waits while others work.

A piece is a generator that yields each result it has submitted and is sent its value. While one
waits for a machine elsewhere, the next computes here.
"""

from collections import deque
from collections.abc import Generator, Iterable
from itertools import islice

from torch import Tensor

from worker.execution.seam import Pending

Flow = Generator[Pending, Tensor, None]


def in_turn(flows: Iterable[Flow], at_once: int) -> None:
    """Run all to their ends, `at_once` of them under way.

    They take turns in their order: one goes on with its n-th result only when all before it have,
    so what an earlier one wrote between two results is there for the later ones.
    """
    coming = iter(flows)
    waiting: deque[tuple[Flow, Pending]] = deque()
    try:
        waiting.extend((flow, next(flow)) for flow in islice(coming, at_once))
        while waiting:
            flow, pending = waiting.popleft()
            try:
                waiting.append((flow, flow.send(pending.result())))
            except StopIteration:
                waiting.extend((flow, next(flow)) for flow in islice(coming, 1))
    except BaseException:
        for _, pending in waiting:
            pending.abandon()
        raise
