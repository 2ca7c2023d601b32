"""Engine steps without HTTP: prompt reading and decoding, at several numbers of sequences.

    python -m benchmarks.step                                   # novice
    python -m benchmarks.step --model llama-3.2-1b --threads 2  # a named shape, random weights
    python -m benchmarks.step --sequences 8 --structured        # with and without a grammar
    python -m benchmarks.step --sequences 1 4 --drafts 8        # with and without drafts

Prompts are random token ids, so nothing is cached, and no answer ends early. `prefill tok/s`:
prompt tokens over the time until every sequence has its first token. `ms/step`: median gap between
the tokens of one sequence. `decode tok/s`: tokens of all sequences after their first, over the
time that they took. Medians of the counted rounds.

With `--structured` only what JSON schemas cost is measured: decoding behind prompts that ask novice
for JSON, and behind random ones, freely and held to a schema, with equally many tokens; `ratio` is
what remains of the speed. With `--drafts K` only drafts are measured: novice
answers some of its own test prompts, with at most K drafted tokens a step and without: prompts that
ask it to copy or edit a text, and others. Such rounds are paired and take turns; a ratio is the
median of the pairs with its quartiles, by the clock and by processor time, which tells more where
other programs run. The last line is JSON.
"""

import argparse
import json
import queue
import random
import statistics
import time
from collections.abc import Sequence
from dataclasses import asdict, astuple, dataclass
from functools import partial
from itertools import pairwise

import torch
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks import _drafts, _structure
from worker.build import threads_for
from worker.commands.need import weights_bytes
from worker.engine.engine import InferenceEngine
from worker.engine.limits import Limits
from worker.engine.request import Event, Request, Sampling, Token
from worker.execution.local import LocalExecution
from worker.kernels.native import Kernels, find_kernels
from worker.kernels.twins import Twins
from worker.model.config import ModelConfig
from worker.model.decoder import Decoder
from worker.model.load import load_model, random_model
from worker.model.shapes import SHAPES
from worker.model.source import find_model

Stamp = tuple[float, float]  # the clock's time and the process's, in seconds


class Silent:
    """A vocabulary without text, for shapes that have no tokenizer."""

    def decode(self, ids: Sequence[int]) -> str:  # noqa: ARG002
        return ""


@dataclass(frozen=True)
class Figures:
    """One round, or the medians of several."""

    prefill_tokens_per_s: float
    step_ms: float
    decode_tokens_per_s: float
    decode_tokens_per_cpu_s: float  # of the whole process


@dataclass(frozen=True)
class Row:
    """One row of the table."""

    sequences: int
    free: Figures


def main() -> None:
    options = parse()
    if options.drafts:
        drafts(options)
        return
    threads = threads_of(options)
    kernels = find_kernels(threads)
    torch.set_num_threads(threads if isinstance(kernels, Twins) else 1)
    model = build(options, kernels)
    limits = Limits(step_tokens=options.step_tokens)
    engine = InferenceEngine(model, Silent(), limits, draw=kernels.draw)
    engine.start()
    if options.structured:
        structure(options, model, engine)
    else:
        plain(options, model, engine)
    engine.close()


def plain(options: argparse.Namespace, model: Decoder, engine: InferenceEngine) -> None:
    console = Console(stderr=True)
    rows: list[Row] = []
    for count in track(options.sequences, "measuring", console=console):
        rounds = [
            measure(engine, model, options, count, seed) for seed in range(options.rounds + 1)
        ]
        rows.append(Row(count, median(rounds[1:])))
    Console().print(table(options, rows))
    made = {"model": options.model, "threads": threads_of(options)}
    print(json.dumps({**made, "rows": [asdict(row) for row in rows]}))


def structure(options: argparse.Namespace, model: Decoder, engine: InferenceEngine) -> None:
    folder = "novice" if options.model in SHAPES else options.model  # a shape has no tokenizer
    kinds = _structure.Kinds(model, folder, options.prompt, options.decode, options.temperature)
    asked = {"random": kinds.random}
    if options.model == "novice":
        asked = {"ask for JSON": kinds.asking, **asked}
    rows = [
        row
        for kind, prompts in asked.items()
        for row in _structure.cost(engine, kind, prompts, options.sequences, options.rounds)
    ]
    Console().print(_structure.table(rows))
    made = {"model": options.model, "threads": threads_of(options)}
    print(json.dumps({**made, "structured": [asdict(row) for row in rows]}))


def drafts(options: argparse.Namespace) -> None:
    threads = options.threads or 1  # novice is small
    torch.set_num_threads(threads)
    kernels = find_kernels(threads)
    rows = list(_drafts.worth(kernels, options.sequences, options.rounds, options.drafts))
    Console().print(_drafts.table(rows))
    print(json.dumps({"drafts": [asdict(row) for row in rows]}))


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--model", default="novice", help=f"folder, novice, or {', '.join(SHAPES)}")
    parser.add_argument("--prompt", type=int, default=128, help="prompt tokens of a sequence")
    parser.add_argument("--decode", type=int, default=64, help="tokens to generate")
    parser.add_argument("--sequences", type=int, nargs="+", default=[1, 4, 16])
    parser.add_argument("--temperature", type=float, default=0.0, help="0 is greedy")
    parser.add_argument("--rounds", type=int, default=7, help="counted rounds, medians are shown")
    parser.add_argument("--step-tokens", type=int, default=512, help="token budget of a step")
    parser.add_argument("--threads", type=int, default=0, help="that compute; 0: as a worker")
    parser.add_argument("--structured", action="store_true", help="measure JSON schema answers too")
    parser.add_argument("--drafts", type=int, default=0, help="compare with so many drafts a step")
    return parser.parse_args()


def config_of(options: argparse.Namespace) -> ModelConfig:
    named = options.model in SHAPES
    return SHAPES[options.model] if named else ModelConfig.read(find_model(options.model))


def threads_of(options: argparse.Namespace) -> int:
    asked: int = options.threads
    return asked or threads_for(weights_bytes(config_of(options), torch.bfloat16))


def build(options: argparse.Namespace, kernels: Kernels) -> Decoder:
    tokens = max(options.sequences) * (options.prompt + 2 * options.decode + 16)
    pages = -(-tokens // 16) * 2
    execution = LocalExecution(kernels)
    if options.model in SHAPES:
        name: str = options.model
        return random_model(name, execution=execution, kernels=kernels, page_count=pages)
    folder = find_model(options.model)
    return load_model(folder, execution=execution, kernels=kernels, page_count=pages)


def measure(
    engine: InferenceEngine,
    model: Decoder,
    options: argparse.Namespace,
    count: int,
    seed: int,
) -> Figures:
    """One round: submit `count` requests at once and take the time of every token."""
    generator = random.Random(seed)
    times: queue.Queue[tuple[int, Stamp]] = queue.Queue()
    started = time.perf_counter()
    for index in range(count):
        ids = generator.choices(range(model.vocabulary_size), k=options.prompt)
        sampling = Sampling(temperature=options.temperature)
        request = Request(f"{seed}-{index}", tuple(ids), options.decode, sampling)
        engine.submit(request, partial(note, times, index))
    stamps: list[list[Stamp]] = [[] for _ in range(count)]
    for _ in range(count * options.decode):
        index, (moment, cpu) = times.get(timeout=600)
        stamps[index].append((moment - started, cpu))
    return figures(stamps, options.prompt)


def note(times: "queue.Queue[tuple[int, Stamp]]", index: int, event: Event) -> None:
    assert isinstance(event, Token), event
    times.put((index, (time.perf_counter(), time.process_time())))


def figures(stamps: list[list[Stamp]], prompt: int) -> Figures:
    count, tokens = len(stamps), len(stamps[0])
    last_first = max(row[0][0] for row in stamps)
    gaps = [later[0] - earlier[0] for row in stamps for earlier, later in pairwise(row)]
    begin, end = min(row[0] for row in stamps), max(row[-1] for row in stamps)
    decoded = count * (tokens - 1)
    return Figures(
        prefill_tokens_per_s=count * prompt / last_first,
        step_ms=1000 * statistics.median(gaps),
        decode_tokens_per_s=decoded / (end[0] - begin[0]),
        decode_tokens_per_cpu_s=decoded / (end[1] - begin[1]),
    )


def median(rounds: Sequence[Figures]) -> Figures:
    columns = zip(*(astuple(one) for one in rounds), strict=True)
    return Figures(*map(statistics.median, columns))


def table(options: argparse.Namespace, rows: Sequence[Row]) -> Table:
    title = f"{options.model}: {options.prompt} prompt tokens, {options.decode} generated"
    shown = Table("sequences", "prefill tok/s", "ms/step", "decode tok/s", title=title)
    for row in rows:
        cells = [
            str(row.sequences),
            f"{row.free.prefill_tokens_per_s:.0f}",
            f"{row.free.step_ms:.2f}",
            f"{row.free.decode_tokens_per_s:.0f}",
        ]
        shown.add_row(*cells)
    return shown


if __name__ == "__main__":
    main()
