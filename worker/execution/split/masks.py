"""Where masks and their products come from.

A mask row is drawn, multiplied with the site's weights inside the TEE while nobody waits, handed
out once and gone. What happens when none is left is the pool's policy; none of them repeats a mask
or sends anything in clear.
"""

import logging
import threading
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, Protocol

import numpy as np
import torch

from cloister.errors import BadSettings, Unavailable
from worker.execution.split.products import Product
from worker.execution.split.sites import SiteId
from worker.execution.split.stream import MaskStream, Words

OnEmpty = Literal["tee", "wait", "reject"]

BLOCK_ROWS = 128  # as many as the largest call has by default: such a call takes a block
BLOCK_WORK = 2**32  # multiplications that a request may have to wait for, about 0.1 s a core
IDLE_S = 0.05  # without a call for so long, nobody is being served
RETRY_S = 0.5  # after masks could not be had

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, repr=False)
class Masks:
    """Rows of masks [rows, in] and their products [rows, out], for one use: it may overwrite them.

    Those that may not be written to are one row for all.
    """

    words: Words
    products: Words


class MaskSource(Protocol):
    """Gives masks, each row once."""

    def add(self, site: SiteId, inputs: int, outputs: int, product: Product) -> None:
        """Tell of a site at build time."""

    def start(self, digest: bytes = b"") -> None:
        """All sites are told; `digest` is that of their weights. Raises `BadSettings`."""

    def take(self, site: SiteId, rows: int) -> Masks | None:
        """Masks for one call; none means to compute the call in the TEE. Raises `Unavailable`."""

    def distrust(self) -> None:
        """A product was found to be wrong: give out none that is ready."""

    def close(self) -> None:
        """No more masks are wanted."""

    def ready_rows(self) -> int:
        """Rows that the emptiest site has ready, for metrics."""


class NoMasks:
    """Zeros in place of masks: exact integrity and no privacy, for `plain-int`."""

    def __init__(self) -> None:
        self._sizes: dict[SiteId, tuple[int, int]] = {}

    def add(self, site: SiteId, inputs: int, outputs: int, product: Product) -> None:
        del product
        self._sizes[site] = inputs, outputs

    def start(self, digest: bytes = b"") -> None:
        pass

    def take(self, site: SiteId, rows: int) -> Masks:
        words, products = (
            np.broadcast_to(np.zeros(size, np.uint32), (rows, size)) for size in self._sizes[site]
        )
        return Masks(words, products)

    def distrust(self) -> None:
        raise AssertionError("zeros are right")

    def close(self) -> None:
        pass

    def ready_rows(self) -> int:
        return 0


@dataclass(slots=True)
class Shelf:
    """One site's masks: blocks in order, of which the first may be partly used."""

    inputs: int
    outputs: int
    product: Product
    blocks: deque[Masks] = field(default_factory=deque)

    @property
    def rows(self) -> int:
        return sum(len(block.words) for block in self.blocks)

    @property
    def row_bytes(self) -> int:
        return 4 * (self.inputs + self.outputs)

    @property
    def block_rows(self) -> int:
        return max(1, min(BLOCK_ROWS, BLOCK_WORK // (self.inputs * self.outputs)))

    def pop(self, rows: int) -> list[Masks]:
        """At most `rows` rows off the shelf; a whole block of so many, so that none is copied."""
        if self.blocks and len(self.blocks[-1].words) == rows:
            return [self.blocks.pop()]
        taken: list[Masks] = []
        while rows and self.blocks:
            block = self.blocks.popleft()
            taken.append(Masks(block.words[:rows], block.products[:rows]))
            if len(block.words) > rows:
                self.blocks.appendleft(Masks(block.words[rows:], block.products[rows:]))
            rows -= len(taken[-1].words)
        return taken


class Pool(ABC):
    """Has masks ready within `limit_bytes`, made by a thread of its own.

    With `on_empty` "tee" a call that finds too few is computed in the TEE, with "wait" the missing
    ones are made while it waits, with "reject" its requests fail. The thread waits until nothing
    was taken for `idle_s`.
    """

    def __init__(
        self, limit_bytes: int, on_empty: OnEmpty, clock: Callable[[], float], idle_s: float
    ) -> None:
        self._limit_bytes = limit_bytes
        self._on_empty = on_empty
        self._clock = clock
        self._idle_s = idle_s
        self._shelves: dict[SiteId, Shelf] = {}
        self._tokens = 0  # rows that each site may have ready
        self._last_take = -idle_s
        self._changed = threading.Condition()
        self._closed = False
        self._resting = False  # the thread waits until masks are taken
        self._thread = threading.Thread(target=self._run, name="masks", daemon=True)

    @abstractmethod
    def _make(self, site: SiteId, shelf: Shelf, rows: int) -> Masks | None:
        """New masks, in any thread; none if they cannot be had now."""

    def add(self, site: SiteId, inputs: int, outputs: int, product: Product) -> None:
        self._shelves[site] = Shelf(inputs, outputs, product)

    def start(self, digest: bytes = b"") -> None:
        del digest
        each_bytes = sum(shelf.row_bytes for shelf in self._shelves.values())
        self._tokens = self._limit_bytes // each_bytes
        if not self._tokens:
            raise BadSettings(f"masks_mb is too small: the masks of one token take {each_bytes} B")
        self._thread.start()

    def take(self, site: SiteId, rows: int) -> Masks | None:
        shelf = self._shelves[site]
        with self._changed:
            self._last_take = self._clock()
            if self._resting:
                self._changed.notify()
            if self._on_empty != "wait" and shelf.rows < rows:
                self._check_empty_is_fine(rows)
                return None
            taken = shelf.pop(rows)
        if missing := rows - sum(len(masks.words) for masks in taken):
            made = self._make(site, shelf, missing)
            if made is None:
                raise Unavailable(f"{missing} masks are missing, and their maker does not answer")
            taken.append(made)
        return taken[0] if len(taken) == 1 else _joined(taken)

    def distrust(self) -> None:
        with self._changed:
            for shelf in self._shelves.values():
                shelf.blocks.clear()

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify()
        if self._thread.is_alive():
            self._thread.join()

    def ready_rows(self) -> int:
        with self._changed:
            return min(shelf.rows for shelf in self._shelves.values())

    def fill_one(self) -> bool:
        """Make one block for the site that has fewest; false if all are full or none can be had."""
        with self._changed:
            site = self._neediest()
        if site is None:
            return False
        shelf = self._shelves[site]
        block = self._make(site, shelf, min(shelf.block_rows, self._tokens))
        if block is None:
            return False
        with self._changed:
            shelf.blocks.append(block)
        return True

    def _check_empty_is_fine(self, rows: int) -> None:
        if self._on_empty == "reject":
            raise Unavailable(f"fewer than {rows} masks are ready (--on-empty reject)")

    def _neediest(self) -> SiteId | None:
        """A block counts until its last row is used: its memory does too."""
        open_shelves = [
            site
            for site, shelf in self._shelves.items()
            if (len(shelf.blocks) + 1) * min(shelf.block_rows, self._tokens) <= self._tokens
        ]
        return min(open_shelves, key=lambda site: self._shelves[site].rows, default=None)

    def _run(self) -> None:
        while self._wait_for_idleness():
            if not self.fill_one():
                with self._changed:
                    self._changed.wait_for(lambda: self._closed, RETRY_S)

    def _wait_for_idleness(self) -> bool:
        """False when closed."""
        with self._changed:
            while not self._closed:
                busy_s = self._last_take + self._idle_s - self._clock()
                if busy_s > 0:
                    self._changed.wait(busy_s)
                elif self._neediest() is not None:
                    return True
                else:
                    self._rest()
        return False

    def _rest(self) -> None:
        """Until masks are taken. Who takes them need not wake a thread that waits for idleness."""
        self._resting = True
        self._changed.wait()
        self._resting = False


class LocalPool(Pool):
    """Makes masks in the TEE while nobody is being served."""

    def __init__(
        self,
        limit_bytes: int,
        on_empty: OnEmpty,
        stream: MaskStream,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(limit_bytes, on_empty, clock, IDLE_S)
        self._stream = stream

    def distrust(self) -> None:
        log.error("this machine computed a mask's product wrongly")
        super().distrust()

    def _make(self, site: SiteId, shelf: Shelf, rows: int) -> Masks:
        del site
        words = self._stream.words(rows, shelf.inputs)
        products = shelf.product(torch.from_numpy(words.view(np.int32)))
        return Masks(words, products.numpy().view(np.uint32))


def _joined(parts: list[Masks]) -> Masks:
    return Masks(
        np.concatenate([part.words for part in parts]),
        np.concatenate([part.products for part in parts]),
    )
