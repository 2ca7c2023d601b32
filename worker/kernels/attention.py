"""What attention is told: a layer's heads, and who stands where in a step."""

import ctypes
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from worker.kernels import library


@dataclass(frozen=True, slots=True)
class Heads:
    """The heads of one layer, as they stand in a row: queries, keys, values.

    `norms` float32 [2, dim] scale normalised query and key heads before they are turned, if given.
    A row sees `window` keys, itself included, or all.
    """

    query: int
    key: int
    dim: int
    norms: Tensor | None = None
    epsilon: float = 0.0
    window: int | None = None

    @property
    def group(self) -> int:
        """Query heads that share a key head."""
        return self.query // self.key

    @property
    def width(self) -> int:
        """Numbers of a row."""
        return (self.query + 2 * self.key) * self.dim


@dataclass(frozen=True, slots=True)
class Rotation:
    """Cosines and sines of rows' positions, float32 [rows, dim / 2] each."""

    cosines: Tensor
    sines: Tensor

    def apply_(self, heads: Tensor) -> None:
        """Turn `[rows, heads, dim]` in place: halves (a, b) to (a cos - b sin, b cos + a sin)."""
        a, b = heads.float().chunk(2, -1)
        cosines, sines = self.cosines.unsqueeze(1), self.sines.unsqueeze(1)
        heads.copy_(torch.cat((a * cosines - b * sines, b * cosines + a * sines), -1))


@dataclass(frozen=True, slots=True)
class Run:
    """Consecutive rows of one sequence: from row `first_row` and position `start` on."""

    first_row: int
    rows: int
    start: int
    pages: Sequence[int]  # the sequence's, in order

    @property
    def end(self) -> int:
        return self.start + self.rows


class Places:
    """The rows of a step, or of a piece of one, for all layers. Raises `ValueError`."""

    def __init__(self, runs: Sequence[Run], rotation: Rotation, page_size: int) -> None:
        self.runs = runs
        self.rotation = rotation
        self.page_size = page_size
        self.half = rotation.cosines.shape[-1]
        self.rows = sum(run.rows for run in runs)
        self._check()
        self._runs, self._pages = array("q"), array("q")
        for run in runs:
            self._runs.extend((run.first_row, run.rows, run.start, len(self._pages)))
            self._pages.extend(run.pages[: -(-run.end // page_size)])
        self.most_page = max(self._pages, default=0)
        if min(self._pages, default=0) < 0:
            raise ValueError("pages must not be negative")
        self.structure = library.Places(
            self._runs.buffer_info()[0],
            self._pages.buffer_info()[0],
            rotation.cosines.data_ptr(),
            rotation.sines.data_ptr(),
            len(runs),
            self.rows,
        )
        self.pointer = ctypes.byref(self.structure)

    def _check(self) -> None:
        row = 0
        for run in self.runs:
            if run.first_row != row or run.rows < 1 or run.start < 0:
                raise ValueError("runs must follow each other")
            if run.end > len(run.pages) * self.page_size:
                raise ValueError("a run needs a page for each of its positions")
            row += run.rows
        for each in (self.rotation.cosines, self.rotation.sines):
            if each.dtype != torch.float32 or each.shape != (row, self.half):
                raise ValueError(f"a rotation must be float32 [{row}, dim / 2]")
            if not each.is_contiguous():
                raise ValueError("a rotation must be contiguous")


class Attention(Protocol):
    """One layer's attention over its pages."""

    def __call__(self, qkv: Tensor, places: Places) -> Tensor:
        """Norm and turn the heads of `qkv` [rows, heads.width], keep keys and values, attend.

        Returns `[rows, heads.query * heads.dim]`. Rows do not depend on each other, nor on how a
        sequence was cut into steps.
        """
