"""Masks as a benchmark wants them: exactly so many ready, or none, and nothing made meanwhile."""

from collections.abc import Mapping
from functools import partial

import torch
from torch import Size, Tensor

from worker.execution.split.masks import BLOCK_ROWS, LocalPool, Masks
from worker.execution.split.products import Product
from worker.execution.split.sites import SiteId
from worker.execution.split.stream import MaskStream


class Stock:
    """A `MaskSource`: a local pool that is made anew for each measurement.

    With `free` masks' products cost nothing and are wrong: for servers that answer zeros anyway.
    """

    def __init__(self, shapes: Mapping[SiteId, Size], *, free: bool) -> None:
        self._row_bytes = row_bytes(shapes)
        self._free = free
        self._sites: list[tuple[SiteId, int, int, Product]] = []
        self._pool = self._new(1)

    def add(self, site: SiteId, inputs: int, outputs: int, product: Product) -> None:
        made = partial(_free, outputs) if self._free else product
        self._sites.append((site, inputs, outputs, made))

    def start(self, digest: bytes = b"") -> None:
        del digest
        self.empty(1)

    def take(self, site: SiteId, rows: int) -> Masks | None:
        return self._pool.take(site, rows)

    def distrust(self) -> None:
        self._pool.distrust()

    def close(self) -> None:
        self._pool.close()

    def ready_rows(self) -> int:
        return self._pool.ready_rows()

    def fill(self, rows: int) -> None:
        """So many rows of each site, at least."""
        self.empty(rows)
        while self._pool.ready_rows() < rows and self._pool.fill_one():
            pass

    def empty(self, rows: int) -> None:
        """None; `rows` will be asked for."""
        self._pool.close()
        self._pool = self._new(rows)
        for site in self._sites:
            self._pool.add(*site)
        self._pool.start()

    def _new(self, rows: int) -> LocalPool:
        limit_bytes = self._row_bytes * (rows + 2 * BLOCK_ROWS)
        return LocalPool(limit_bytes, "wait", MaskStream(), _never_idle)


def row_bytes(shapes: Mapping[SiteId, Size]) -> int:
    """What one row of masks takes at all sites."""
    return sum(4 * sum(shape) for shape in shapes.values())


def _never_idle() -> float:
    """A clock by which the pool's thread finds that the last call was a moment ago."""
    return -1.0


def _free(outputs: int, x: Tensor) -> Tensor:
    return torch.ones(len(x), outputs, dtype=torch.int32)
