"""Medians of turns, ratios to the best other peer, shares of the limit: a table and JSON."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from rich.table import Table

from benchmarks._peers.limits import Limits, Size, least_s
from benchmarks._peers.measure import COLUMNS, Turn, Work
from benchmarks._peers.protocol import SEQUENCES

TITLES = {"prefill": "prefill tok/s", "single": "1 sequence tok/s", "sixteen": "16 sequences tok/s"}
GOALS = {"prefill": 1.35, "single": 1.12, "sixteen": 1.5}
"""What ours over the best other peer should be."""


@dataclass(frozen=True)
class Row:
    """One peer, by medians. A share of the limit or a ratio that is not known is left out."""

    peer: str
    name: str
    speeds: dict[str, float]
    ratios: dict[str, float]  # to the best of the others
    shares: dict[str, float]  # of what the hardware allows with 4-bit weights
    peak_mb: float


def rows(
    turns: Mapping[str, Sequence[Turn]], limits: Limits | None, size: Size, work: Work
) -> list[Row]:
    """One row a peer that was measured at least once."""
    speeds = {peer: _medians(each) for peer, each in turns.items() if each}
    most = {} if limits is None else _most(limits, size, work)
    return [
        Row(
            peer,
            turns[peer][0].name,
            own,
            _ratios(own, [other for name, other in speeds.items() if name != peer]),
            {column: own[column] / most[column] for column in most},
            median(turn.peak_bytes for turn in turns[peer]) / 2**20,
        )
        for peer, own in speeds.items()
    ]


def table(found: Sequence[Row], title: str) -> Table:
    """Each column with the ratio to the best other peer and the share of the limit."""
    shown = Table("peer", *TITLES.values(), "peak MiB", title=title)
    for row in found:
        shown.add_row(row.name, *(_cell(row, column) for column in COLUMNS), f"{row.peak_mb:.0f}")
    return shown


def goals(found: Sequence[Row], ours: str) -> dict[str, Any]:
    """Each column's ratio of ours, and what it should be; empty if there is nothing to compare."""
    own = next((row for row in found if row.peer == ours), None)
    if own is None:
        return {}
    return {name: {"ratio": own.ratios[name], "goal": GOALS[name]} for name in own.ratios}


def _medians(turns: Sequence[Turn]) -> dict[str, float]:
    return {column: median(turn.speeds[column] for turn in turns) for column in COLUMNS}


def _ratios(own: Mapping[str, float], others: Sequence[Mapping[str, float]]) -> dict[str, float]:
    if not others:
        return {}
    return {column: own[column] / max(other[column] for other in others) for column in COLUMNS}


def _most(limits: Limits, size: Size, work: Work) -> dict[str, float]:
    """Tokens a second that the hardware allows; nothing of a limit that could not be measured."""
    steps = {"prefill": (work.long, 1), "single": (1, 1), "sixteen": (SEQUENCES, SEQUENCES)}
    least = {name: least_s(limits, size, *step) for name, step in steps.items()}
    return {name: steps[name][0] / seconds for name, seconds in least.items() if seconds}


def _cell(row: Row, column: str) -> str:
    text = f"{row.speeds[column]:.1f}"
    if column in row.ratios:
        text += f"  {row.ratios[column]:.2f}x"
    if column in row.shares:
        text += f"  {row.shares[column]:.0%}"
    return text
