"""Steps of the 1B shape with bf16, int8 and int4 weights, in turn, beside what memory gives.

    taskset -c 1 python -m benchmarks.kernels --threads 1

Random weights. `prefill`: one step of 512 tokens; `decode`: one token more for 1 and for 16
sequences of 128. Times are processor time of the calling thread, so that a busy machine distorts
them less; each is the least of some rounds, in which the weights take turns. `of bandwidth`: bytes
of weights a second over what one pass over memory reaches. Last line JSON.
"""

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial

import torch
from rich.console import Console
from rich.table import Table

from worker.engine.step import Segment, Step
from worker.execution.local import LocalExecution
from worker.kernels.lowbit import INT4, INT8, Format
from worker.kernels.native import Kernels, find_kernels
from worker.model.decoder import Decoder
from worker.model.load import random_model
from worker.model.parameters import allocate, places
from worker.model.shapes import shape

FORMS: dict[str, Format | None] = {"bf16": None, "int8": INT8, "int4": INT4}
PROMPT, CONTEXT, PAGE_SIZE = 512, 128, 16
PASS_BYTES = 1 << 29


@dataclass(frozen=True)
class Figures:
    """One row: tokens a second, and the shares of what the machine can do."""

    weights: str
    work: str
    ms: float
    tokens_per_s: float
    times_bf16: float
    of_bandwidth: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--model", default="llama-3.2-1b", help="a named shape")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(1)
    bandwidth = bytes_per_s()
    kernels = find_kernels(options.threads)
    models = {name: build(options.model, form, kernels) for name, form in FORMS.items()}
    rows = []
    for work, step, tokens in WORK:
        times = in_turn(
            {name: partial(model.forward, step) for name, model in models.items()}, options.rounds
        )
        for name, seconds in times.items():
            rows.append(
                Figures(
                    name,
                    work,
                    1000 * seconds,
                    tokens / seconds,
                    times["bf16"] / seconds,
                    weights_bytes(options.model, FORMS[name]) / seconds / bandwidth,
                )
            )
    show(rows, bandwidth)


def build(name: str, form: Format | None, kernels: Kernels) -> Decoder:
    pages = 16 * (CONTEXT // PAGE_SIZE + 1) + PROMPT // PAGE_SIZE
    return random_model(
        name, execution=LocalExecution(kernels), kernels=kernels, form=form, page_count=pages
    )


def prefill() -> Step:
    return Step((Segment(tuple(range(PROMPT)), 0, tuple(range(PROMPT // PAGE_SIZE)), 1),))


def decode(sequences: int) -> Step:
    each = CONTEXT // PAGE_SIZE + 1
    return Step(
        tuple(
            Segment((index,), CONTEXT, tuple(range(index * each, (index + 1) * each)), 1)
            for index in range(sequences)
        )
    )


WORK = (
    (f"prefill {PROMPT}", prefill(), PROMPT),
    ("decode 1", decode(1), 1),
    ("decode 16", decode(16), 16),
)


def in_turn(ways: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """The least time of each way, over rounds in which all take turns; one more warms up."""
    times: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds + 1):
        for name, way in ways.items():
            started = time.thread_time()
            way()
            times[name].append(time.thread_time() - started)
    return {name: min(taken[1:]) for name, taken in times.items()}


def bytes_per_s() -> float:
    """What one thread reads of memory, in one pass over more than the caches hold."""
    numbers = torch.zeros(PASS_BYTES // 8, dtype=torch.int64)
    return PASS_BYTES / in_turn({"read": numbers.max}, 3)["read"]


def weights_bytes(name: str, form: Format | None) -> int:
    """Bytes that a step reads: of a tied embedding, the head's one pass."""
    with torch.device("meta"):
        named = places(shape(name), allocate(shape(name), torch.bfloat16, form))
    return sum(place.nbytes for place in named.values())


def show(rows: list[Figures], bandwidth: float) -> None:
    title = f"read {bandwidth / 1e9:.1f} GB/s"
    table = Table("work", "weights", "ms", "tokens/s", "x bf16", "of bandwidth", title=title)
    for row in rows:
        table.add_row(
            row.work,
            row.weights,
            f"{row.ms:.1f}",
            f"{row.tokens_per_s:.1f}",
            f"{row.times_bf16:.2f}",
            f"{row.of_bandwidth:.0%}",
        )
    Console().print(table)
    print(json.dumps({"bytes_per_s": bandwidth, "rows": [asdict(row) for row in rows]}))


if __name__ == "__main__":
    main()
