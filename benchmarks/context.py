"""What long contexts cost: prompts, one more token behind them, and prompts that are shared.

    python -m benchmarks.context --threads 2                       # the 1B shape, random, int4
    python -m benchmarks.context --model small-5m --weights bf16   # quick
    python -m benchmarks.context --threads 2 --write docs          # into docs/performance.md

- prefill: a prompt is read in steps of `--step-tokens`, as a server reads it; seconds, and how far
  the process's memory rose at its highest (the cache's pages are among that).
- decode: one step that adds a token to each of some sequences, behind contexts of equal length;
  median of `--rounds`. Contexts are really computed, so those that would need more than `--tokens`
  in all are left out.
- shared: time to the first token of a request whose prompt begins with a system prompt that
  another request has brought before, with the same salt (its pages are found) and with another.

By the clock, so nothing else should run. The last line is JSON.
"""

import argparse
import json
import queue
import random
import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import get_args

import torch
from rich.console import Console
from rich.table import Table

from benchmarks._plot import Panel, svg
from worker.engine.engine import InferenceEngine
from worker.engine.limits import Limits
from worker.engine.request import Event, Request, Sampling, Token
from worker.engine.step import Segment, Step
from worker.execution.local import LocalExecution
from worker.kernels.cores import physical_cores
from worker.kernels.lowbit import Format
from worker.kernels.native import find_kernels
from worker.kernels.twins import Twins
from worker.model.cache import CacheType
from worker.model.decoder import Decoder
from worker.model.load import LOW_BITS, random_model
from worker.model.shapes import SHAPES

STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
PAGE = 16
OWN = 32  # tokens behind a shared system prompt
BEGIN, END = "<!-- written by benchmarks.context -->", "<!-- until here -->"


@dataclass(frozen=True)
class Prefill:
    """A prompt of `tokens`, read in steps; `rise_bytes` is the rise of the process's peak."""

    tokens: int
    seconds: float
    rise_bytes: int

    @property
    def tokens_per_s(self) -> float:
        return self.tokens / self.seconds


@dataclass(frozen=True)
class Decode:
    """One step of `batch` sequences behind `context` tokens each."""

    batch: int
    context: int
    ms: float


@dataclass(frozen=True)
class Shared:
    """Seconds to the first token behind a system prompt of `tokens`."""

    tokens: int
    found_s: float
    computed_s: float


class Silent:
    """A vocabulary without text."""

    def decode(self, ids: object) -> str:  # noqa: ARG002
        return ""


def main(argv: Sequence[str] | None = None) -> None:
    options = parse(argv)
    model = build(options)
    prefills = [prefill(model, count, options) for count in options.prompts]
    decodes = [row for batch in options.batches for row in decode(model, batch, options)]
    shared = [share(model, count, options) for count in options.prompts[:-1]]
    tables = (prefill_table(prefills), decode_table(decodes, options), shared_table(shared))
    for table in tables:
        Console().print(table)
    if options.write:
        write(options.write, tables, panels(prefills, decodes), title(options))
    told = {
        "prefill": [asdict(row) for row in prefills],
        "decode": [asdict(row) for row in decodes],
        "shared": [asdict(row) for row in shared],
    }
    print(json.dumps({"model": options.model, "weights": options.weights, **told}))


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.context",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--model", default="llama-3.2-1b", choices=SHAPES, help="shape (%(default)s)")
    add("--weights", default="int4", choices=("bf16", "int8", "int4"), help="(%(default)s)")
    add("--kv-cache-dtype", default="auto", choices=get_args(CacheType), help="(%(default)s)")
    add("--threads", type=int, default=physical_cores(), help="that compute (%(default)s)")
    add("--prompts", type=int, nargs="+", default=[512, 2048, 8192], help="(512 2048 8192)")
    add("--contexts", type=int, nargs="+", default=[128, 512, 2048, 8192], help="for decoding")
    add("--batches", type=int, nargs="+", default=[1, 4, 16], help="sequences (1 4 16)")
    add("--tokens", type=int, default=32768, help="in all contexts of a batch (%(default)s)")
    add("--step-tokens", type=int, default=512, help="tokens of a step (%(default)s)")
    add("--rounds", type=int, default=7, help="steps of a context length (%(default)s)")
    add("--write", type=Path, help="folder of performance.md, which gets the figures")
    return parser.parse_args(argv)


def title(options: argparse.Namespace) -> str:
    kept = "" if options.kv_cache_dtype == "auto" else f", {options.kv_cache_dtype} cache"
    return f"{options.model}, {options.weights}{kept}, {options.threads} threads"


def build(options: argparse.Namespace) -> Decoder:
    low_bit = LOW_BITS[options.weights]
    form = low_bit if isinstance(low_bit, Format) else None
    kernels = find_kernels(options.threads)
    torch.set_num_threads(options.threads if isinstance(kernels, Twins) else 1)
    return random_model(
        options.model,
        execution=LocalExecution(kernels),
        kernels=kernels,
        page_size=PAGE,
        page_count=pages_for(max(options.tokens, *options.prompts) + 2 * options.step_tokens),
        kv_cache_dtype=options.kv_cache_dtype,
        form=form,
    )


def prefill(model: Decoder, count: int, options: argparse.Namespace) -> Prefill:
    read(model, [0], 0, options.step_tokens, options)  # warms up
    before = peak(clear=True)
    started = time.perf_counter()
    read(model, [0], 0, count, options)
    return Prefill(count, time.perf_counter() - started, peak() - before)


def decode(model: Decoder, batch: int, options: argparse.Namespace) -> Iterator[Decode]:
    """Grow all sequences to each context length in turn, and add tokens there."""
    room = pages_for(options.tokens // batch) + 1
    firsts = [index * room for index in range(batch)]
    length = 0
    for context in options.contexts:
        if batch * context > options.tokens:
            return
        read(model, firsts, length, context, options)
        length = context
        step = Step(tuple(segment(model, first, context - 1, context, room) for first in firsts))
        yield Decode(batch, context, 1000 * seconds_of(model, step, options.rounds))


def read(
    model: Decoder, firsts: list[int], start: int, end: int, options: argparse.Namespace
) -> None:
    """Compute tokens `start` to `end` of sequences whose pages begin at `firsts`."""
    for first in firsts:
        for at in range(start, end, options.step_tokens):
            until = min(end, at + options.step_tokens)
            model.forward(Step((segment(model, first, at, until, pages_for(end)),)))


def segment(model: Decoder, first: int, start: int, end: int, pages: int) -> Segment:
    """Tokens `start` to `end`, always the same ones at a place."""
    tokens = tuple(position * 7919 % model.vocabulary_size for position in range(start, end))
    return Segment(tokens, start, tuple(range(first, first + pages)), 1)


def seconds_of(model: Decoder, step: Step, rounds: int) -> float:
    times = []
    for _ in range(rounds + 1):
        started = time.perf_counter()
        model.forward(step)
        times.append(time.perf_counter() - started)
    return statistics.median(times[1:])


def share(model: Decoder, count: int, options: argparse.Namespace) -> Shared:
    engine = InferenceEngine(model, Silent(), Limits(step_tokens=options.step_tokens))
    engine.start()
    dice = random.Random(count)
    system = tuple(dice.choices(range(model.vocabulary_size), k=count))

    def ask(name: str, salt: str) -> float:
        own = tuple(dice.choices(range(model.vocabulary_size), k=OWN))
        heard: queue.SimpleQueue[Event] = queue.SimpleQueue()
        started = time.perf_counter()
        request = Request(name, system + own, 1, Sampling(temperature=0), salt=salt)
        engine.submit(request, heard.put)
        assert isinstance(heard.get(), Token)
        return time.perf_counter() - started

    ask("first", "one")
    shared = Shared(count, ask("same", "one"), ask("other", "two"))
    engine.close()
    return shared


def pages_for(tokens: int) -> int:
    return -(-tokens // PAGE)


def peak(*, clear: bool = False) -> int:
    """The most memory that was resident since it was last cleared, in bytes."""
    if clear:
        CLEAR.write_text("5")
    lines = STATUS.read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


def prefill_table(rows: list[Prefill]) -> Table:
    table = Table("prompt", "seconds", "tokens/s", "memory rises by, MiB", title="prefill")
    for row in rows:
        rise = f"{row.rise_bytes / 2**20:.0f}"
        table.add_row(str(row.tokens), f"{row.seconds:.2f}", f"{row.tokens_per_s:.0f}", rise)
    return table


def decode_table(rows: list[Decode], options: argparse.Namespace) -> Table:
    found = {(row.batch, row.context): f"{row.ms:.1f}" for row in rows}
    names = [f"{sequences(batch)}, ms" for batch in options.batches]
    table = Table("context", *names, title="decode, one step")
    for context in options.contexts:
        table.add_row(str(context), *(found.get((b, context), "") for b in options.batches))
    return table


def shared_table(rows: list[Shared]) -> Table:
    table = Table("system prompt", "computed, s", "found, s", title="first token")
    for row in rows:
        table.add_row(str(row.tokens), f"{row.computed_s:.2f}", f"{row.found_s:.2f}")
    return table


def sequences(count: int) -> str:
    return "1 sequence" if count == 1 else f"{count} sequences"


def panels(prefills: list[Prefill], decodes: list[Decode]) -> list[Panel]:
    speeds = {"": [(str(row.tokens), row.tokens_per_s) for row in prefills]}
    batches = dict.fromkeys(row.batch for row in decodes)
    steps = {
        sequences(batch): [(str(row.context), row.ms) for row in decodes if row.batch == batch]
        for batch in batches
    }
    return [
        Panel("prefill, tokens/s by prompt length", speeds),
        Panel("one decode step, ms by context length", steps),
    ]


def write(folder: Path, tables: tuple[Table, ...], drawn: list[Panel], heading: str) -> None:
    """Put tables and curves between the marks of performance.md."""
    (folder / "context.svg").write_text(svg(drawn), encoding="utf-8")
    page = folder / "performance.md"
    before, _, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    body = "\n\n".join([heading + ".", *map(markdown, tables), "![curves](context.svg)"])
    page.write_text(f"{before}{BEGIN}\n{body}\n\n{END}{after}", encoding="utf-8")


def markdown(table: Table) -> str:
    columns = [[str(column.header), *map(str, column.cells)] for column in table.columns]
    head, *rows = (" | ".join(cells) for cells in zip(*columns, strict=True))
    lines = [head, " | ".join("---" for _ in columns), *rows]
    return f"**{table.title}**\n\n" + "\n".join(f"| {line} |" for line in lines)


if __name__ == "__main__":
    main()
