"""Where masks and their products come from.

A mask row is drawn, multiplied with the site's weights inside the TEE while nobody waits, handed
out once and gone. What happens when none is left is the pool's policy; none of them repeats a mask
or sends anything in clear.
"""

import threading
import time
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


@dataclass(frozen=True, slots=True, repr=False)
class Masks:
    """Rows of masks [rows, in] and their products [rows, out], for one use: it may overwrite them.

    Those that may not be written to stand for all rows.
    """

    words: Words
    products: Words


class MaskSource(Protocol):
    """Gives masks, each row once."""

    def add(self, site: SiteId, inputs: int, outputs: int, product: Product) -> None:
        """Tell of a site at build time."""

    def start(self) -> None:
        """All sites are told. Raises `BadSettings`."""

    def take(self, site: SiteId, rows: int) -> Masks | None:
        """Masks for one call; none means to compute the call in the TEE. Raises `Unavailable`."""

    def close(self) -> None:
        """No more masks are wanted."""

    def ready_rows(self) -> int:
        """Rows that the emptiest site has ready, for metrics."""


class NoMasks:
    """Zeros in place of masks: exact integrity and no privacy, for `plain-int`."""

    def __init__(self) -> None:
        zero = np.zeros((1, 1), np.uint32)
        zero.setflags(write=False)
        self._zero = Masks(zero, zero)

    def add(self, site: SiteId, inputs: int, outputs: int, product: Product) -> None:
        pass

    def start(self) -> None:
        pass

    def take(self, site: SiteId, rows: int) -> Masks:
        del site, rows
        return self._zero  # spreads over any rows

    def close(self) -> None:
        pass

    def ready_rows(self) -> int:
        return 0


@dataclass(slots=True)
class _Shelf:
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

    def make(self, stream: MaskStream, rows: int) -> Masks:
        words = stream.words(rows, self.inputs)
        products = self.product(torch.from_numpy(words.view(np.int32)))
        return Masks(words, products.numpy().view(np.uint32))

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


class LocalPool:
    """Makes masks in a thread of its own while idle, within `limit_bytes`.

    With `on_empty` "tee" a call that finds too few is computed in the TEE, with "wait" the missing
    ones are made while it waits, with "reject" its requests fail.
    """

    def __init__(
        self,
        limit_bytes: int,
        on_empty: OnEmpty,
        stream: MaskStream,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._limit_bytes = limit_bytes
        self._on_empty = on_empty
        self._stream = stream
        self._clock = clock
        self._shelves: dict[SiteId, _Shelf] = {}
        self._tokens = 0  # rows that each site may have ready
        self._last_take = -IDLE_S
        self._changed = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="masks", daemon=True)

    def add(self, site: SiteId, inputs: int, outputs: int, product: Product) -> None:
        self._shelves[site] = _Shelf(inputs, outputs, product)

    def start(self) -> None:
        each_bytes = sum(shelf.row_bytes for shelf in self._shelves.values())
        self._tokens = self._limit_bytes // each_bytes
        if not self._tokens:
            raise BadSettings(f"masks_mb is too small: the masks of one token take {each_bytes} B")
        self._thread.start()

    def take(self, site: SiteId, rows: int) -> Masks | None:
        shelf = self._shelves[site]
        with self._changed:
            self._last_take = self._clock()
            self._changed.notify()
            if self._on_empty != "wait" and shelf.rows < rows:
                self._check_empty_is_fine(rows)
                return None
            taken = shelf.pop(rows)
        missing = rows - sum(len(masks.words) for masks in taken)
        if missing:
            taken.append(shelf.make(self._stream, missing))
        return taken[0] if len(taken) == 1 else _joined(taken)

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
        """Make one block for the site that has fewest; false if all are full."""
        with self._changed:
            shelf = self._neediest()
        if shelf is None:
            return False
        block = shelf.make(self._stream, min(shelf.block_rows, self._tokens))
        with self._changed:
            shelf.blocks.append(block)
        return True

    def _check_empty_is_fine(self, rows: int) -> None:
        if self._on_empty == "reject":
            raise Unavailable(f"fewer than {rows} masks are ready (--on-empty reject)")

    def _neediest(self) -> _Shelf | None:
        """A block counts until its last row is used: its memory does too."""
        open_shelves = [
            shelf
            for shelf in self._shelves.values()
            if (len(shelf.blocks) + 1) * min(shelf.block_rows, self._tokens) <= self._tokens
        ]
        return min(open_shelves, key=lambda shelf: shelf.rows, default=None)

    def _run(self) -> None:
        while self._wait_for_idleness():
            self.fill_one()

    def _wait_for_idleness(self) -> bool:
        """False when closed."""
        with self._changed:
            while not self._closed:
                busy_s = self._last_take + IDLE_S - self._clock()
                if self._neediest() is not None and busy_s <= 0:
                    return True
                self._changed.wait(busy_s if busy_s > 0 else None)
        return False


def _joined(parts: list[Masks]) -> Masks:
    return Masks(
        np.concatenate([part.words for part in parts]),
        np.concatenate([part.products for part in parts]),
    )
