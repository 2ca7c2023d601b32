"""Measures a column: what one prefill or one decoded token costs, and the texts that come out."""

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from torch import Tensor

from benchmarks._split.columns import Column, Text
from benchmarks._split.ledger import PHASES, Ledger, Watch
from worker.engine.choices import choose
from worker.engine.request import Sampling
from worker.engine.sampler import Pick


@dataclass(frozen=True)
class Task:
    """Read `clients` texts of `prompt` tokens; decode so many more for each.

    A prefill is measured if nothing is decoded, else each token behind the first one.
    """

    what: Literal["prefill", "decode"]
    prompt: int
    clients: int = 1
    decode: int = 0

    @property
    def rows(self) -> int:
        return self.clients * (self.prompt + self.decode)


@dataclass(frozen=True)
class Figures:
    """One row; figures of decoding are of one step.

    `tee_ms` and `server_ms` are processor time of the two sides. `transport_ms` is the time between
    products wanted and products there; `transport_processor_ms` what both sides did for it, if the
    server computes nothing.
    """

    column: str
    what: str
    prompt: int
    clients: int
    tokens: int
    calls: float
    up_bytes: float
    down_bytes: float
    wall_ms: float
    tee_ms: float
    server_ms: float
    transport_ms: float
    transport_processor_ms: float
    call_p50_ms: float
    call_p99_ms: float
    phases_ms: dict[str, float] = field(default_factory=dict)
    phases_processor_ms: dict[str, float] = field(default_factory=dict)


def write(
    column: Column, prompts: Sequence[Text], tokens: int, sampling: Sampling
) -> list[list[int]]:
    """So many tokens behind each of the prompts, which are of one length."""
    column.ready(len(prompts) * (len(prompts[0]) + tokens))
    texts: list[list[int]] = [[] for _ in prompts]
    _take(column.read(prompts), prompts, texts, sampling)
    for _ in range(tokens - 1):
        _take(column.extend([text[-1] for text in texts]), prompts, texts, sampling)
    return texts


def measure(
    name: str, column: Column, watch: Watch, task: Task, prompts: Sequence[Text], sampling: Sampling
) -> Figures:
    """One round of a task."""
    column.ready(task.rows)
    watch.ledger = Ledger()
    clocks = _Clocks(column)
    texts: list[list[int]] = [[] for _ in prompts]
    _take(column.read(prompts), prompts, texts, sampling)
    for step in range(task.decode):
        if step == 0:
            watch.ledger, clocks = Ledger(), _Clocks(column)
        _take(column.extend([text[-1] for text in texts]), prompts, texts, sampling)
    passed_ms = clocks.passed_ms()
    watch.ledger.tell_checks()
    return _figures(name, task, watch.ledger, *passed_ms)


def middle(rounds: Sequence[Figures]) -> Figures:
    """The round with the median wall time."""
    ordered = sorted(rounds, key=lambda one: one.wall_ms)
    return ordered[(len(ordered) - 1) // 2]


class _Clocks:
    """Time by the clock, and of both sides' processors."""

    def __init__(self, column: Column) -> None:
        self._column = column
        self._began = self._now()

    def passed_ms(self) -> list[float]:
        return [1000 * (now - then) for now, then in zip(self._now(), self._began, strict=True)]

    def _now(self) -> tuple[float, float, float]:
        return time.perf_counter(), time.process_time(), self._column.server.processor_s()


def _take(
    logits: Tensor, prompts: Sequence[Text], texts: list[list[int]], sampling: Sampling
) -> None:
    """Choose each text's next token."""
    picks = [Pick(sampling, prompt, text) for prompt, text in zip(prompts, texts, strict=True)]
    for text, chosen in zip(texts, choose(logits, picks), strict=True):
        text.extend(chosen.ids)


def _figures(
    name: str, task: Task, ledger: Ledger, wall_ms: float, tee_ms: float, server_ms: float
) -> Figures:
    steps = task.decode or 1
    moved_s = ledger.processor_s["send"] + ledger.processor_s["wait"]
    phases: dict[str, float] = {phase: 1000 * ledger.phases_s[phase] / steps for phase in PHASES}
    return Figures(
        column=name,
        what=task.what,
        prompt=task.prompt,
        clients=task.clients,
        tokens=task.clients * (task.decode or task.prompt),
        calls=len(ledger.calls_s) / steps,
        up_bytes=ledger.up_bytes / steps,
        down_bytes=ledger.down_bytes / steps,
        wall_ms=wall_ms / steps,
        tee_ms=tee_ms / steps,
        server_ms=server_ms / steps,
        transport_ms=phases["send"] + phases["wait"],
        transport_processor_ms=(1000 * moved_s + server_ms) / steps,
        call_p50_ms=_percentile(ledger.calls_s, 50),
        call_p99_ms=_percentile(ledger.calls_s, 99),
        phases_ms=phases,
        phases_processor_ms={phase: 1000 * ledger.processor_s[phase] / steps for phase in PHASES},
    )


def _percentile(seconds: Sequence[float], percent: int) -> float:
    if len(seconds) < 2:
        return 1000 * sum(seconds)
    return 1000 * statistics.quantiles(seconds, n=100, method="inclusive")[percent - 1]
