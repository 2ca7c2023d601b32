"""Numbers out of samples: percentiles, a table, a JSON line, a plot."""

import json
import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

from rich.table import Table

from benchmarks._load import Sample


@dataclass(frozen=True, slots=True)
class Level:
    """One load and what it gave; `benchmarks.serve` defines the numbers. None: nothing to say."""

    load: str
    requests: int
    errors: int
    error_codes: dict[str, int]
    counted_by_server: bool
    prompt_tokens_mean: float | None
    output_tokens_mean: float | None
    tokens_per_text: float | None
    ttft_ms_p50: float | None
    ttft_ms_p99: float | None
    itl_ms_p50: float | None
    itl_ms_p99: float | None
    tpot_ms_p50: float | None
    e2e_ms_p50: float | None
    e2e_ms_p99: float | None
    output_tokens_per_s: float
    requests_per_s: float
    wall_s: float


def level(load: str, samples: Sequence[Sample]) -> Level:
    """Sum up the samples of one load."""
    good = [sample for sample in samples if sample.error is None]
    spoken = [sample for sample in good if sample.arrivals]
    wall_s = max(s.ended_s for s in samples) - min(s.started_s for s in samples)
    texts = sum(len(sample.arrivals) for sample in good)
    tokens = sum(sample.output_tokens for sample in good)
    first_ms = [1000 * sample.arrivals[0] for sample in spoken]
    gaps_ms = [1000 * gap for sample in spoken for gap in _gaps(sample)]
    whole_ms = [1000 * (sample.ended_s - sample.started_s) for sample in good]
    return Level(
        load=load,
        requests=len(samples),
        errors=len(samples) - len(good),
        error_codes=dict(Counter(sample.error for sample in samples if sample.error)),
        counted_by_server=all(sample.counted for sample in good),
        prompt_tokens_mean=_mean([sample.prompt_tokens for sample in good]),
        output_tokens_mean=_mean([sample.output_tokens for sample in good]),
        tokens_per_text=tokens / texts if texts else None,
        ttft_ms_p50=percentile(first_ms, 50),
        ttft_ms_p99=percentile(first_ms, 99),
        itl_ms_p50=percentile(gaps_ms, 50),
        itl_ms_p99=percentile(gaps_ms, 99),
        tpot_ms_p50=percentile([ms for sample in spoken for ms in _per_token_ms(sample)], 50),
        e2e_ms_p50=percentile(whole_ms, 50),
        e2e_ms_p99=percentile(whole_ms, 99),
        output_tokens_per_s=tokens / wall_s,
        requests_per_s=len(good) / wall_s,
        wall_s=wall_s,
    )


def percentile(values: Sequence[float], percent: float) -> float | None:
    """By linear interpolation between the two nearest ranks; None of nothing."""
    if not values:
        return None
    ordered = sorted(values)
    rank = (len(ordered) - 1) * percent / 100
    low = int(rank)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (rank - low)


def table(levels: Sequence[Level]) -> Table:
    """The levels as rows."""
    result = Table(title="times in ms: p50 / p99")
    for column in ("load", "ok", "errors", "prompt", "output", "TTFT", "ITL", "E2E", "tok/s"):
        result.add_column(column, justify="right")
    for row in levels:
        result.add_row(
            row.load,
            str(row.requests - row.errors),
            str(row.errors),
            _number(row.prompt_tokens_mean),
            _number(row.output_tokens_mean),
            f"{_number(row.ttft_ms_p50)} / {_number(row.ttft_ms_p99)}",
            f"{_number(row.itl_ms_p50)} / {_number(row.itl_ms_p99)}",
            f"{_number(row.e2e_ms_p50)} / {_number(row.e2e_ms_p99)}",
            _number(row.output_tokens_per_s),
        )
    return result


def json_line(url: str, model: str, levels: Sequence[Level]) -> str:
    """Everything on one line, for scripts."""
    rows = [{name: _rounded(value) for name, value in asdict(row).items()} for row in levels]
    return json.dumps({"url": url, "model": model, "levels": rows})


def _gaps(sample: Sample) -> list[float]:
    return [later - earlier for earlier, later in pairwise(sample.arrivals)]


def _per_token_ms(sample: Sample) -> list[float]:
    if sample.output_tokens < 2:
        return []
    rest_s = sample.arrivals[-1] - sample.arrivals[0]
    return [1000 * rest_s / (sample.output_tokens - 1)]


def _rounded(value: Any) -> Any:
    return round(value, 3) if isinstance(value, float) else value


def _mean(values: Sequence[float]) -> float | None:
    return statistics.fmean(values) if values else None


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}"
