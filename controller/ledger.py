"""What each tenant used, by day, in the file: counts that workers report, each record once."""

import sqlite3
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from cloister.fleet import UsageRecord, UsageReport
from controller.keys import Key
from controller.store import Store

FORGET_RUNS_S = 30 * 86_400.0

ADD = """
INSERT INTO usage VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET
    requests = requests + excluded.requests,
    prompt_tokens = prompt_tokens + excluded.prompt_tokens,
    cached_tokens = cached_tokens + excluded.cached_tokens,
    generated_tokens = generated_tokens + excluded.generated_tokens
"""
HEAR = """
INSERT INTO runs VALUES (?, ?, ?)
ON CONFLICT DO UPDATE SET counted = excluded.counted, heard_at = excluded.heard_at
"""
TOTAL = """
SELECT tenant, sum(requests), sum(prompt_tokens), sum(cached_tokens), sum(generated_tokens)
FROM usage WHERE day >= ? AND day <= ? GROUP BY tenant
"""
FIRST_DAY, LAST_DAY = "0001-01-01", "9999-12-31"


@dataclass(frozen=True, slots=True)
class Usage:
    """Answered requests, and their tokens; prompt tokens include the cached ones."""

    requests: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    generated_tokens: int = 0

    def __add__(self, other: "Usage") -> "Usage":
        return Usage(
            self.requests + other.requests,
            self.prompt_tokens + other.prompt_tokens,
            self.cached_tokens + other.cached_tokens,
            self.generated_tokens + other.generated_tokens,
        )


class Ledger:
    """The counts in the file. Its methods may wait for the disk: they belong in a thread."""

    def __init__(self, store: Store, now: Callable[[], float] = time.time) -> None:
        self._store = store
        self._now = now

    def count(self, report: UsageReport) -> int:
        """Count the records that were not counted yet; returns the last number, once on disk."""
        with self._store.write() as connection:
            row = connection.execute(
                "SELECT counted FROM runs WHERE run = ?", (report.run,)
            ).fetchone()
            counted = 0 if row is None else int(row["counted"])
            for record in report.records:
                if record.number > counted:
                    self._add(connection, record)
                    counted = record.number
            connection.execute(HEAR, (report.run, counted, self._now()))
            connection.execute(
                "DELETE FROM runs WHERE heard_at < ?", (self._now() - FORGET_RUNS_S,)
            )
        return counted

    def estimate(
        self, request: str, tenant: str, *, prompt_tokens: int, generated_tokens: int
    ) -> None:
        """Count what was relayed of an answer that broke off, until its worker tells better."""
        values = (tenant, self._day(), 1, prompt_tokens, 0, generated_tokens)
        with self._store.write() as connection:
            connection.execute(
                "INSERT INTO estimates VALUES (?, ?, ?, ?, ?)",
                (request, tenant, self._day(), prompt_tokens, generated_tokens),
            )
            connection.execute(ADD, values)

    def totals(self, since: str = FIRST_DAY, until: str = LAST_DAY) -> dict[str, Usage]:
        """Usage by tenant, of days like 2026-01-31 (UTC), both included."""
        with self._store.write() as connection:
            rows = connection.execute(TOTAL, (since, until)).fetchall()
        return {tenant: Usage(*counts) for tenant, *counts in map(tuple, rows)}

    def _add(self, connection: sqlite3.Connection, record: UsageRecord) -> None:
        estimate = connection.execute(
            "DELETE FROM estimates WHERE request = ? RETURNING *", (record.request,)
        ).fetchone()
        if estimate is not None:
            _, tenant, day, prompt, generated = estimate
            connection.execute(ADD, (tenant, day, -1, -prompt, 0, -generated))
        tokens = (record.prompt_tokens, record.cached_tokens, record.generated_tokens)
        connection.execute(ADD, (record.tenant, self._day(), 1, *tokens))

    def _day(self) -> str:
        return datetime.fromtimestamp(self._now(), UTC).date().isoformat()


def by_name(totals: Mapping[str, Usage], keys: Iterable[Key]) -> dict[str, Usage]:
    """Totals of all keys that have or had a name; those of a time without keys under ""."""
    found = {"": totals[""]} if "" in totals else {}
    for key in keys:
        found[key.name] = found.get(key.name, Usage()) + totals.get(key.tenant, Usage())
    return found
