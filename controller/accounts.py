"""Lets requests in as far as their key's limits go, and books what they cost.

It sits where every relayed request passes. A request enters with a `Visit`, which takes tokens from
the key's bucket; when its worker reports the cost, that is counted in the file and settled here.
Nothing here runs per chunk, and the file is written in a thread.
"""

import asyncio
import logging
import secrets
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from types import TracebackType
from typing import ParamSpec, Self, TypeVar

from cloister.fleet import Heard, UsageReport
from controller.keys import ANYONE, Key, Keys, KeyTable, Kind
from controller.ledger import Ledger, Usage, by_name
from controller.limits import Allowance
from controller.store import Store

SETTLE_WITHIN_S = 60.0  # by then a bucket is full again anyway

P = ParamSpec("P")
T = TypeVar("T")

log = logging.getLogger(__name__)


class Visit:
    """A request from its key's limits to its end; in `with`, so that every ending is one."""

    def __init__(self, accounts: "Accounts", tenant: str, tokens: int) -> None:
        self.id = secrets.token_hex(16)
        self.tenant = tenant
        self.is_reported = False  # will a worker tell what it cost?
        self._accounts = accounts
        self._tokens = tokens

    def __enter__(self) -> Self:
        self._began = self._accounts.enter(self.id, self.tenant, self._tokens)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._accounts.leave(self, self._began)

    def broke_off(self, prompt_tokens: int, generated_tokens: int) -> None:
        """The worker may be dead; count what was relayed until it tells better."""
        self._accounts.estimate(self, prompt_tokens, generated_tokens)


class Accounts:
    """Keys, limits and counts of one controller. Belongs to one event loop.

    `keys` may be read here; what changes them goes through `change_keys`.
    """

    def __init__(self, store: Store, clock: Callable[[], float] = time.monotonic) -> None:
        self._ledger = Ledger(store)
        self.keys = KeyTable(store)
        self._keys = Keys(self.keys, clock=clock)
        self._store = store
        self._clock = clock
        self._allowances: dict[str, Allowance] = {}
        self._reserved: dict[str, int] = {}  # usage id -> tokens taken and not settled
        self._ended: deque[tuple[float, str]] = deque()
        self._writing = ThreadPoolExecutor(1, "accounts")

    @property
    def is_open(self) -> bool:
        """Are there no keys, so that everyone is let in?"""
        return self._keys.is_open

    def key(self, authorization: str | None, kind: Kind) -> Key:
        """Whose a request is. Raises `Unauthorized`."""
        key = self._keys.key(authorization, kind)
        allowance = self._allowance(key.tenant)
        if allowance.limits != key.limits:
            allowance.set(key.limits)
        return key

    def headers(self, tenant: str) -> dict[str, str]:
        """What is left of the tenant's limits."""
        return self._allowance(tenant).headers()

    def visit(self, tenant: str, tokens: int) -> Visit:
        """A request that may cost so many tokens. Entering it raises what the limits raise."""
        return Visit(self, tenant, tokens)

    def enter(self, id: str, tenant: str, tokens: int) -> float:
        """Returns the time."""
        self._allowance(tenant).enter(tokens)
        self._reserved[id] = tokens
        return self._clock()

    def leave(self, visit: Visit, began: float) -> None:
        now = self._clock()
        self._allowance(visit.tenant).leave(now - began)
        if visit.is_reported:
            self._ended.append((now, visit.id))
        else:
            self._settle(visit.id, visit.tenant, 0)
        while self._ended and self._ended[0][0] < now - SETTLE_WITHIN_S:
            self._reserved.pop(self._ended.popleft()[1], None)

    def estimate(self, visit: Visit, prompt_tokens: int, generated_tokens: int) -> None:
        """Count without waiting for it."""
        work = partial(
            self._ledger.estimate,
            visit.id,
            visit.tenant,
            prompt_tokens=prompt_tokens,
            generated_tokens=generated_tokens,
        )
        self._writing.submit(work).add_done_callback(_tell)

    async def count(self, report: UsageReport) -> Heard:
        """Count a worker's records, once they are on disk settle them, and tell how far."""
        if not report.records:
            return Heard(counted=0)
        counted = await self._in_thread(self._ledger.count, report)
        for record in report.records:
            cost = record.prompt_tokens + record.generated_tokens
            self._settle(record.request, record.tenant, cost)
        return Heard(counted=counted)

    async def change_keys(self, work: Callable[[], T]) -> T:
        """Do what changes `keys`; it holds at once."""
        done = await self._in_thread(work)
        self._keys.read()
        return done

    async def usage(self, since: str, until: str) -> dict[str, Usage]:
        """By name of key, of days like 2026-01-31."""
        totals = await self._in_thread(self._ledger.totals, since, until)
        return by_name(totals, self.keys.all())

    def close(self) -> None:
        """Write what is still to be written."""
        self._writing.shutdown()
        self._store.close()

    async def _in_thread(self, work: Callable[P, T], *words: P.args, **more: P.kwargs) -> T:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._writing, partial(work, *words, **more))

    def _settle(self, id: str, tenant: str, cost: int) -> None:
        """The first word on a request counts; a record that comes twice finds nothing."""
        reserved = self._reserved.pop(id, None)
        if reserved is not None:
            self._allowance(tenant).charge(cost - reserved)

    def _allowance(self, tenant: str) -> Allowance:
        found = self._allowances.get(tenant)
        if found is None:
            found = self._allowances[tenant] = Allowance(ANYONE.limits, self._clock)
        return found


def _tell(writing: Future[None]) -> None:
    if error := writing.exception():
        log.error("usage could not be written: %s", type(error).__name__)
