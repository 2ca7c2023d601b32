"""Responses that are kept for a while, in this process's memory and nowhere else."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from cloister.response_id import new_id, new_tag, not_found
from cloister.wire.response import ResponseBody
from cloister.wire.response_items import Item


@dataclass(frozen=True, slots=True)
class Bounds:
    """How many responses are kept at most, of which size together, and for how long."""

    responses: int = 1024
    size_bytes: int = 64 * 2**20
    seconds: float = 3600.0


@dataclass(frozen=True, slots=True)
class Kept:
    """A response and all items that the model read before it, those of earlier responses too.

    `size_bytes` is that of the requests' JSON and the answers' in the chain, so what two responses
    share counts twice.
    """

    tenant: str
    response: ResponseBody = field(repr=False)
    items: tuple[Item, ...] = field(repr=False)
    size_bytes: int

    @property
    def history(self) -> tuple[Item, ...]:
        """What a response that follows begins with."""
        return (*self.items, *self.response.output)


class ResponseStore:
    """Kept responses by id, each for its tenant alone.

    When there are too many, the tenant that holds most bytes loses its oldest. `find` may be called
    from any thread; all else belongs to the event loop.
    """

    def __init__(
        self, bounds: Bounds | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.bounds = bounds or Bounds()
        self.tag = new_tag()
        self._clock = clock
        self._kept: dict[str, tuple[float, Kept]] = {}  # by id, with its end; oldest first
        self._sizes: Counter[str] = Counter()  # by tenant
        self._alarm: asyncio.TimerHandle | None = None

    @property
    def keeps(self) -> bool:
        """Is anything kept at all?"""
        return self.bounds.responses > 0

    def new_id(self) -> str:
        """An id that names this worker."""
        return new_id(self.tag)

    def put(self, kept: Kept) -> None:
        self._kept[kept.response.id] = (self._clock() + self.bounds.seconds, kept)
        self._sizes[kept.tenant] += kept.size_bytes
        while self._is_over():
            [(largest, _)] = self._sizes.most_common(1)
            oldest = next(id for id, (_, one) in self._kept.items() if one.tenant == largest)
            self._remove(oldest)
        self._set_alarm()

    def find(self, tenant: str, id: str) -> Kept:
        """Raises `NotFound`, also for another tenant's."""
        ends_at, kept = self._kept.get(id, (0.0, None))
        if kept is None or kept.tenant != tenant or self._clock() >= ends_at:
            raise not_found()
        return kept

    def delete(self, tenant: str, id: str) -> None:
        """Raises `NotFound`. Responses that followed still hold its items."""
        self._remove(self.find(tenant, id).response.id)

    def sweep(self) -> None:
        """Forget what has been kept for long enough."""
        now = self._clock()
        for id in [id for id, (ends_at, _) in self._kept.items() if now >= ends_at]:
            self._remove(id)
        self._alarm = None
        self._set_alarm()

    def _is_over(self) -> bool:
        is_many = len(self._kept) > self.bounds.responses
        return is_many or self._sizes.total() > self.bounds.size_bytes

    def _remove(self, id: str) -> None:
        _, kept = self._kept.pop(id)
        self._sizes[kept.tenant] -= kept.size_bytes
        if self._sizes[kept.tenant] == 0:
            del self._sizes[kept.tenant]

    def _set_alarm(self) -> None:
        """Wake up when the oldest ends, so that it is gone though nobody asks."""
        if self._kept and self._alarm is None:
            ends_at, _ = next(iter(self._kept.values()))
            wait_s = max(0.0, ends_at - self._clock())
            self._alarm = asyncio.get_running_loop().call_later(wait_s, self.sweep)
