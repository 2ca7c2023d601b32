"""A run as a Markdown table, and the design's bounds beside what was measured."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from benchmarks._split.ledger import PHASES
from benchmarks._split.measure import Figures

MB = 1e6


@dataclass(frozen=True)
class Bound:
    """Something that the design promises, as a quotient or a count."""

    what: str
    value: float
    limit: float

    @property
    def met(self) -> bool:
        return self.value <= self.limit


def as_json(
    settings: Mapping[str, Any], rows: Sequence[Figures], limits: Sequence[Bound]
) -> dict[str, Any]:
    met = [asdict(bound) | {"met": bound.met} for bound in limits]
    return {"settings": dict(settings), "rows": [asdict(row) for row in rows], "bounds": met}


def as_markdown(rows: Sequence[Figures], limits: Sequence[Bound]) -> str:
    """A table for each task, then the bounds."""
    tasks = dict.fromkeys((row.what, row.prompt, row.clients) for row in rows)
    parts = [
        "\n".join(_table([row for row in rows if (row.what, row.prompt, row.clients) == task]))
        for task in tasks
    ]
    if limits:
        parts.append("\n".join(_limits(limits)))
    return "\n\n".join(parts) + "\n"


def bounds(rows: Sequence[Figures], *, null: bool) -> list[Bound]:
    """Those that the run can tell about: prefill beside baseline B, and blind beside plain.

    Without a null server, times hold the server's own computing, so only calls and bytes are told.
    """
    prefills = [row for row in rows if row.what == "prefill"]
    return [
        bound
        for prompt in dict.fromkeys(row.prompt for row in prefills)
        for bound in _bounds({r.column: r for r in prefills if r.prompt == prompt}, prompt, null)
    ]


def _bounds(of: Mapping[str, Figures], prompt: int, null: bool) -> Iterator[Bound]:
    """`of`: by column."""
    plain, blind, b = of.get("plain"), of.get("blind-warm"), of.get("b-zeromq")
    at = f"{prompt} tokens: "
    for ours, most_bytes, most_time in ((plain, 0.32, 0.1), (blind, 0.65, 0.2)):
        if ours is None or b is None:
            continue
        yield Bound(f"{at}bytes, {ours.column} / B", _bytes(ours) / _bytes(b), most_bytes)
        if null:
            ratio = ours.transport_ms / b.transport_ms
            yield Bound(f"{at}transport time, {ours.column} / B", ratio, most_time)
            ratio = ours.transport_processor_ms / b.transport_processor_ms
            yield Bound(f"{at}transport's processor time, {ours.column} / B", ratio, most_time)
    if null and plain is not None and blind is not None:
        yield Bound(f"{at}time, blind / plain", blind.wall_ms / plain.wall_ms, 2.2)
        ratio = (blind.tee_ms + blind.server_ms) / (plain.tee_ms + plain.server_ms)
        yield Bound(f"{at}processor time, blind / plain", ratio, 2.2)
        share = blind.phases_ms["verify"] / blind.wall_ms
        yield Bound(f"{at}verification's share of blind's time", share, 0.05)
        share = blind.phases_processor_ms["verify"] / (blind.tee_ms + blind.server_ms)
        yield Bound(f"{at}verification's share of blind's processor time", share, 0.05)


def _bytes(row: Figures) -> float:
    return row.up_bytes + row.down_bytes


def _table(rows: Sequence[Figures]) -> Iterator[str]:
    first = rows[0]
    clients = f", {first.clients} clients" if first.clients > 1 else ""
    each = f"a prefill of {first.prompt}" if first.what == "prefill" else "a decoded token"
    yield f"**{each[0].upper()}{each[1:]}{clients}**"
    yield ""
    heads = ("column", "calls", "MB up", "MB down", "ms", "TEE", "server", "transport")
    yield _line((*heads, "call p50", "call p99", *PHASES, "tok/s"))
    yield _line(["---"] + ["---:"] * (len(heads) + len(PHASES) + 2))
    for row in rows:
        yield _line(_cells(row))


def _cells(row: Figures) -> Iterator[str]:
    yield row.column
    yield f"{row.calls:.0f}"
    for size in (row.up_bytes, row.down_bytes):
        yield f"{size / MB:.4g}"
    times = row.wall_ms, row.tee_ms, row.server_ms, row.transport_ms
    for ms in (*times, row.call_p50_ms, row.call_p99_ms, *row.phases_ms.values()):
        yield f"{ms:.3g}" if ms < 1000 else f"{ms:.0f}"
    tokens = row.clients * (1 if row.what == "decode" else row.prompt)
    yield f"{1000 * tokens / row.wall_ms:.3g}"


def _limits(limits: Sequence[Bound]) -> Iterator[str]:
    yield _line(("bound", "measured", "limit", ""))
    yield _line(("---", "---:", "---:", "---"))
    for bound in limits:
        met = "met" if bound.met else "**missed**"
        yield _line((bound.what, f"{bound.value:.3f}", f"{bound.limit:g}", met))


def _line(cells: Sequence[str] | Iterator[str]) -> str:
    return f"| {' | '.join(cells)} |"
