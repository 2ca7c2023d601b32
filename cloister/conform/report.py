"""What a run of the suite came to: a table for people, JSON for programs."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from cloister import __version__
from cloister.conform.check import Status

STYLES: dict[Status, str] = {"pass": "green", "fail": "bold red", "warn": "yellow", "skip": "dim"}


@dataclass(frozen=True, slots=True)
class Result:
    """One check's outcome; `why` is empty where it passed."""

    id: str
    claim: str
    status: Status
    why: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    """All outcomes of one server."""

    url: str
    model: str
    results: Sequence[Result]

    @property
    def counts(self) -> Counter[Status]:
        return Counter(result.status for result in self.results)

    @property
    def exit_status(self) -> int:
        """1 if anything failed; doubts and skips are no failures."""
        return 1 if self.counts["fail"] else 0

    def json(self) -> dict[str, Any]:
        """Only values, no text of the model."""
        return {
            "cloister": __version__,
            "url": self.url,
            "model": self.model,
            "counts": dict(self.counts),
            "checks": [asdict(result) for result in self.results],
        }

    def show(self, console: Console) -> None:
        table = Table(title=f"{self.url} · {self.model}", title_justify="left")
        for name in ("check", "claim", "", "why"):
            table.add_column(name, overflow="fold", no_wrap=not name)
        for result in self.results:
            status = Text(result.status, STYLES[result.status])
            table.add_row(result.id, result.claim, status, Text(result.why))
        console.print(table)
        console.print(", ".join(f"{self.counts[status]} {status}" for status in STYLES))
