"""Masks whose products a second machine computes, which must not work with any GPU server.

The TEE draws a seed for each block of masks and sends it to the helper, which draws the same rows,
multiplies them with the weights and sends the products back: it works ahead of all requests, and
learns how many are prepared, nothing else. To the GPU servers a masked row is noise as ever. But
who has both the seed and a masked row has the row, so helper and GPU servers must be different
machines in different hands, and the way to the helper must be encrypted.

A seed is used for one block, whatever becomes of it. A product is not believed: a residue mod 2^32
cannot be checked as cheaply as a true product can, so the check is that of the GPU's product, which
fails too if the mask's product was wrong (`RingRows`). Then the TEE finds out who lied.
"""

import os
import threading
import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from worker.execution.split.gpus import Connect, Counts, Endpoint, greet
from worker.execution.split.link import Call, Terms
from worker.execution.split.masks import Masks, OnEmpty, Pool, Shelf
from worker.execution.split.sites import SiteId
from worker.execution.split.stream import expand
from worker.execution.split.wire import SEED_BYTES, Kind


class HelperPool(Pool):
    """Has masks ready that the helper behind `connect` multiplied.

    A call waits `deadline_s` at most for the helper, and as long for a block under way. `rows` is
    the most that is asked for at once.
    """

    def __init__(
        self,
        limit_bytes: int,
        on_empty: OnEmpty,
        helper: tuple[str, Connect],
        *,
        token: bytes = b"",
        deadline_s: float = 10.0,
        rows: int = 128,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(limit_bytes, on_empty, clock, idle_s=0)  # it costs the TEE next to nothing
        self.counts = Counts()
        url, connect = helper
        self._endpoint = Endpoint(f"mask helper {url}", connect, self.counts, clock)
        self._terms = Terms(b"", Kind.SEED, token, deadline_s, rows)
        self._asking = threading.Lock()  # the pool's thread and a request's

    def start(self, digest: bytes = b"") -> None:
        """Greet the helper. Raises `BadModel`, `BadSettings`."""
        self._terms = replace(self._terms, digest=digest)
        greet(self._endpoint, self._terms)
        super().start()

    def distrust(self) -> None:
        with self._asking:
            self._endpoint.quarantine("a mask's product was wrong")
        super().distrust()

    def close(self) -> None:
        super().close()
        self._endpoint.close()

    def _make(self, site: SiteId, shelf: Shelf, rows: int) -> Masks | None:
        seed = os.urandom(SEED_BYTES)
        call = Call(site, Kind.SEED, rows, shelf.inputs, shelf.outputs, seed)
        with self._asking:
            flight = self._endpoint.send(call, self._terms)
            reply = flight and self._endpoint.receive(flight)
        if not reply:
            return None
        products = np.frombuffer(reply, np.uint32).reshape(rows, shelf.outputs)
        return Masks(expand(seed, rows, shelf.inputs), products)
