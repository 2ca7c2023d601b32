"""Lays a step out for the tensors: which token stands in which row, and at which position.

Made once per step and used by every layer. Rows stand in the step's order.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import chain

import torch
from torch import Tensor

from worker.engine.step import Segment, Step
from worker.kernels.attention import Run


@dataclass(frozen=True, slots=True)
class Batch:
    """A step, ready for the layers."""

    tokens: Tensor  # [rows] int64
    positions: Tensor  # [rows] int64
    wanted: Tensor  # [wanted rows] int64
    runs: tuple[Run, ...]  # one a segment

    def pieces(self, rows: int) -> "Iterator[Piece]":
        """Its rows in pieces of at most `rows`; what a row may see is in its piece or before."""
        if len(self.tokens) <= rows:
            yield Piece(slice(len(self.tokens)), self.positions, self.runs)
            return
        for first in range(0, len(self.tokens), rows):
            own = slice(first, min(first + rows, len(self.tokens)))
            runs = tuple(_within(own, self.runs))
            yield Piece(own, self.positions[own], runs)


@dataclass(frozen=True, slots=True)
class Piece:
    """Consecutive `rows` of a batch that go through the layers together; runs count from 0."""

    rows: slice
    positions: Tensor
    runs: tuple[Run, ...]


def lay_out(step: Step) -> Batch:
    """Turn a step into rows."""
    segments = step.segments
    tokens = list(chain.from_iterable(segment.tokens for segment in segments))
    runs = tuple(_runs(segments))
    positions = list(chain.from_iterable(range(run.start, run.end) for run in runs))
    wanted = [
        row
        for run, segment in zip(runs, segments, strict=True)
        for row in range(run.first_row + run.rows - segment.logits, run.first_row + run.rows)
    ]
    return Batch(
        tokens=torch.tensor(tokens, dtype=torch.int64),
        positions=torch.tensor(positions, dtype=torch.int64),
        wanted=torch.tensor(wanted, dtype=torch.int64),
        runs=runs,
    )


def _runs(segments: tuple[Segment, ...]) -> Iterator[Run]:
    row = 0
    for segment in segments:
        yield Run(row, len(segment.tokens), segment.start, segment.pages)
        row += len(segment.tokens)


def _within(rows: slice, runs: tuple[Run, ...]) -> Iterator[Run]:
    """The parts of runs that stand in `rows`, counted from its first."""
    for run in runs:
        first = max(run.first_row, rows.start)
        last = min(run.first_row + run.rows, rows.stop)
        if first < last:
            start = run.start + first - run.first_row
            yield replace(run, first_row=first - rows.start, rows=last - first, start=start)
