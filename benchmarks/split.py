"""Split execution beside published designs and the TEE alone: the same weights, prompts and run.

    python -m benchmarks.split                                         # novice, real servers
    python -m benchmarks.split --model llama-3.2-1b --null             # transport alone
    python -m benchmarks.split --columns plain c-tee --compare         # texts side by side
    python -m benchmarks.split --null --delay-ms 5 --columns plain --at-once 1 2
    python -m benchmarks.split --accuracy 4000 --columns blind-warm    # int8 beside bf16

Columns: `a-grpc` is a gRPC call for each module; `b-zeromq` sends attention too and has no causal
mask, `b-causal` adds it; `c-tee` is all in the TEE; the others are ours, blind with all masks ready
(warm), none (cold), or ready and being made again by a helper (on this machine, so without TLS).
Baselines compute in float32, as published; what the others compute in is
`--dtype`. Servers run on this machine: with `--null` they answer zeros, so that times are those of
transport and of the TEE's own work, and products that fail their check are used all the same.

Calls and bytes are exact. Times are of the round with the median time; columns take turns. A call's
time is from its first byte sent to its last received. The last line, and the file `--result`, is
JSON; `--table` takes the Markdown.
"""

import argparse
import itertools
import json
import random
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, replace
from pathlib import Path

import torch
from rich.console import Console
from rich.progress import track

from benchmarks._split import texts
from benchmarks._split.columns import NAMES, Column, Name, Setup, Text
from benchmarks._split.ledger import Watch, watched
from benchmarks._split.measure import Figures, Task, measure, middle
from benchmarks._split.openers import opened
from benchmarks._split.report import as_json, as_markdown, bounds
from benchmarks._split.servers import ROWS
from benchmarks._split.source import Source
from worker.engine.request import Sampling
from worker.execution.split.address import SCHEMES
from worker.execution.split.address import parse as parse_address
from worker.model.shapes import SHAPES

DTYPES = {"bfloat16": torch.bfloat16, "float32": torch.float32}
DECODE_PROMPT = 16


def main(arguments: Sequence[str] | None = None) -> None:
    options = parse(arguments)
    torch.set_num_threads(options.threads)
    if options.compare:
        one = setup(options, 1024)
        Console().print(texts.compare(options.columns, one, options.prompts, options.decode))
        return
    if options.accuracy:
        scored = texts.accuracy(options.columns, setup(options, 1024), options.accuracy)
        Console().print(texts.table(scored))
        print(json.dumps([asdict(each) for each in scored]))
        return
    rows = list(figures(options))
    limits = bounds(rows, null=options.null)
    table = as_markdown(rows, limits)
    print(table)
    written = json.dumps(as_json(vars(options), rows, limits), default=str)
    for path, text in ((options.table, table), (options.result, written)):
        if path is not None:
            path.write_text(text + "\n", encoding="utf-8")
    print(written)


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    add = parser.add_argument
    add("--model", default="novice", help=f"folder, novice, or {', '.join(SHAPES)}")
    add("--columns", nargs="+", choices=NAMES, default=list(NAMES))
    add("--prefill", type=int, nargs="*", default=[128, 1024], help="prompt tokens")
    add("--decode", type=int, default=64, help="tokens to generate; 0: none")
    add("--reread", type=int, default=2, help="tokens to decode in B, which has no cache")
    add("--clients", type=int, nargs="+", default=[1, 4, 16], help="texts that are decoded at once")
    add("--rounds", type=int, default=3, help="counted rounds")
    add("--temperature", type=float, default=0.0)
    add("--top-p", type=float, default=1.0)
    add("--dtype", choices=DTYPES, default="bfloat16")
    add("--device", default="cpu", help="where servers that are started here compute")
    add("--threads", type=int, default=1, help="that compute in each process")
    add("--gpu", help="address of a running `cloister gpu`, for one of our columns")
    wires = [scheme for scheme in SCHEMES if scheme != "tls"]
    add("--wire", choices=wires, default="tcp", help="of our columns, to servers started here")
    add("--null", action="store_true", help="servers that answer zeros")
    add("--delay-ms", type=float, default=0.0, help="what a null server takes for each product")
    add("--at-once", type=int, nargs="+", default=[2], help="chunks of a prefill in flight")
    add("--chunk-rows", type=int, default=ROWS, help=f"rows of such a chunk, at most {ROWS}")
    add("--compare", action="store_true", help="texts of split execution beside those of the TEE")
    add("--accuracy", type=int, default=0, help="score novice's columns on so many answer tokens")
    add("--prompts", type=Path, help="a file of prompts for --compare, one a line")
    add("--result", type=Path, help="file for the JSON")
    add("--table", type=Path, help="file for the table")
    return parser.parse_args(arguments)


def setup(options: argparse.Namespace, longest: int = 0) -> Setup:
    """With room for the tasks, or for one text of `longest` tokens."""
    longest = max([longest, *options.prefill, DECODE_PROMPT + options.decode])
    most = max(options.clients) * (DECODE_PROMPT + options.decode + 16)
    return Setup(
        Source(options.model),
        DTYPES[options.dtype],
        tokens=max(longest, most),
        null=options.null,
        device=options.device,
        threads=options.threads,
        delay_s=options.delay_ms / 1000,
        gpu=parse_address("gpu", options.gpu) if options.gpu else None,
        wire=options.wire,
        chunk_rows=options.chunk_rows,
    )


def sampling(options: argparse.Namespace) -> Sampling:
    return Sampling(temperature=options.temperature, top_p=options.top_p)


def figures(options: argparse.Namespace) -> Iterator[Figures]:
    """One row a column and task."""
    watch, vocabulary = Watch(), setup(options).source.config.vocabulary_size
    with ExitStack() as stack:
        columns = {
            name: stack.enter_context(opened(column, one, watch))
            for name, column, one in variants(options)
        }
        stack.enter_context(watched(watch, believing=options.null))
        for task in track(tasks(options), "measuring", console=Console(stderr=True)):
            yield from rounds(columns, watch, task, vocabulary, options)


def variants(options: argparse.Namespace) -> Iterator[tuple[str, Name, Setup]]:
    """The columns by the names that they are told under."""
    base = setup(options)
    for column, at_once in itertools.product(options.columns, options.at_once):
        named = f"{column}, {at_once} in flight" if len(options.at_once) > 1 else column
        yield named, column, replace(base, at_once=at_once)


def tasks(options: argparse.Namespace) -> list[Task]:
    prefills = [Task("prefill", length) for length in options.prefill]
    decodes = [Task("decode", DECODE_PROMPT, count, options.decode) for count in options.clients]
    return prefills + (decodes if options.decode else [])


def rounds(
    columns: dict[str, Column],
    watch: Watch,
    task: Task,
    vocabulary: int,
    options: argparse.Namespace,
) -> Iterator[Figures]:
    """All columns in turn, so that they meet the same machine; the first round warms up."""
    done: dict[str, list[Figures]] = {name: [] for name in columns}
    for seed in range(options.rounds + 1):
        prompts = random_prompts(task, vocabulary, seed)
        for name, column in columns.items():
            steps = options.reread if column.rereads else task.decode
            own = replace(task, decode=min(task.decode, steps))
            done[name].append(measure(name, column, watch, own, prompts, sampling(options)))
    yield from (middle(each[1:]) for each in done.values())


def random_prompts(task: Task, vocabulary: int, seed: int) -> list[Text]:
    generator = random.Random(seed)
    return [generator.choices(range(vocabulary), k=task.prompt) for _ in range(task.clients)]


if __name__ == "__main__":
    main()
