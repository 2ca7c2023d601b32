"""One thread that computes all calls; those that wait for the same site become one product."""

import logging
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from cloister.logs import places
from worker.execution.split.frames import Memory
from worker.execution.split.sites import SiteId
from worker.execution.split.wire import DTYPES
from worker.gpu.shelf import Shelf

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class Job:
    """A call whose sizes have been checked. `done` hears its product, or none if it failed."""

    site: SiteId
    rows: int
    payload: Memory = field(repr=False)
    done: Callable[[memoryview | None], None] = field(repr=False)


class Batcher:
    """Computes jobs in the order of their arrival, and with each all others of its site."""

    def __init__(self, shelf: Shelf, most_rows: int) -> None:
        self._shelf = shelf
        self._most_rows = most_rows
        self._jobs: deque[Job] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="products", daemon=True)
        self.products = 0

    def start(self) -> None:
        self._thread.start()

    def put(self, job: Job) -> None:
        """Queue a job; its `done` is called in the batcher's thread, always."""
        with self._changed:
            self._jobs.append(job)
            self._changed.notify()

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    @torch.inference_mode()
    def _run(self) -> None:
        while batch := self._next():
            for job, product in zip(batch, self._products(batch), strict=True):
                job.done(product)

    def _next(self) -> list[Job]:
        """The oldest job and its like, as many rows as one call may have; empty when closed."""
        with self._changed:
            while not self._jobs and not self._closed:
                self._changed.wait()
            batch: list[Job] = []
            rows = 0
            for job in tuple(self._jobs):
                if job.site == self._jobs[0].site and (
                    not batch or rows + job.rows <= self._most_rows
                ):
                    batch.append(job)
                    rows += job.rows
            self._jobs = deque(job for job in self._jobs if job not in batch)
            return batch

    def _products(self, batch: list[Job]) -> list[memoryview | None]:
        try:
            y = self._multiply(batch)
        except Exception as error:
            log.error("a product of %d rows failed\n%s", sum(j.rows for j in batch), places(error))
            return [None] * len(batch)
        self.products += 1
        return [_bytes(part) for part in torch.split(y, [job.rows for job in batch])]

    def _multiply(self, batch: list[Job]) -> Tensor:
        linear, kind = self._shelf.linears[batch[0].site], DTYPES[self._shelf.kind]
        parts = [
            torch.frombuffer(job.payload, dtype=kind).view(job.rows, linear.inputs) for job in batch
        ]
        x = parts[0] if len(parts) == 1 else torch.cat(parts)
        return linear.multiply(x.to(self._shelf.device)).cpu()


def _bytes(y: Tensor) -> memoryview:
    flat: np.ndarray = y.contiguous().view(torch.uint8).numpy()
    return flat.data.cast("B")
