"""Engine steps without HTTP: prompt reading and decoding, at several numbers of sequences.

    python -m benchmarks.step                                   # novice
    python -m benchmarks.step --model llama-3.2-1b --threads 2  # a named shape, random weights
    python -m benchmarks.step --sequences 8 --structured        # with and without a grammar
    python -m benchmarks.step --sequences 1 4 --drafts 8        # with and without drafts

Prompts are random token ids, so nothing is cached, and no answer ends early. `prefill tok/s`:
prompt tokens over the time until every sequence has its first token. `ms/step`: median gap between
the tokens of one sequence. `decode tok/s`: tokens of all sequences after their first, over the
time that they took. Medians of the counted rounds. With `--structured` each round is measured a
second time with every sequence held to a JSON schema; `structured tok/s` and `cost` say what that
makes of the decoding. With `--drafts K` only drafts are measured: novice answers some of its own
test prompts, with at most K drafted tokens a step and without, in turn: prompts that ask it to copy
or edit a text, and others; `ratio` is the median over paired rounds. The last line is JSON.
"""

import argparse
import json
import queue
import random
import statistics
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from itertools import pairwise, zip_longest

import torch
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks import _drafts
from worker.api.structure import json_rule
from worker.api.tokenizer import Tokenizer
from worker.engine.engine import InferenceEngine
from worker.engine.grammar import Grammars, Source
from worker.engine.limits import Limits
from worker.engine.request import Event, Grammar, Request, Sampling, Token
from worker.execution.local import LocalExecution
from worker.model.decoder import Decoder
from worker.model.load import load_model, random_model
from worker.model.shapes import SHAPES
from worker.model.source import find_model


class Silent:
    """A vocabulary without text, for shapes that have no tokenizer."""

    def decode(self, ids: Sequence[int]) -> str:  # noqa: ARG002
        return ""


@dataclass(frozen=True)
class Figures:
    """One row of the table."""

    sequences: int
    prefill_tokens_per_s: float
    step_ms: float
    decode_tokens_per_s: float


SCHEMA = {
    "type": "array",
    "items": {
        "type": "object",
        "properties": {
            "name": {"type": "string"},
            "kind": {"enum": ["house", "tree", "river"]},
            "at": {"type": "array", "items": {"type": "number"}, "minItems": 2, "maxItems": 2},
            "note": {"anyOf": [{"type": "string"}, {"type": "null"}]},
        },
        "required": ["name", "kind", "at", "note"],
        "additionalProperties": False,
    },
    "minItems": 1000,
}
"""An answer that a short generation cannot end, with strings, numbers, choices and fixed names."""


def main() -> None:
    options = parse()
    console = Console(stderr=True)
    if options.drafts:
        compare(options)
        return
    model = build(options)
    grammar = schema(options, model) if options.structured else None
    engine = InferenceEngine(model, Silent(), Limits(step_tokens=options.step_tokens))
    engine.start()
    rows, held = [], []
    for count in track(options.sequences, "measuring", console=console):
        rounds, held_rounds = [], []
        for seed in range(options.rounds + 1):  # in turn, so that both meet the same machine
            rounds.append(measure(engine, model, options, count, seed, None))
            if grammar is not None:
                held_rounds.append(measure(engine, model, options, count, seed, grammar))
        rows.append(median(rounds[1:]))  # the first one warms up
        held += [median(held_rounds[1:])] if held_rounds else []
    engine.close()
    Console().print(table(options, rows, held))
    made = {"rows": [asdict(row) for row in rows], "structured": [asdict(row) for row in held]}
    print(json.dumps({"model": options.model, **made}))


def compare(options: argparse.Namespace) -> None:
    torch.set_num_threads(options.threads or 1)
    rows = list(_drafts.worth(options.sequences, options.rounds, options.drafts))
    Console().print(_drafts.table(rows))
    print(json.dumps({"drafts": [asdict(row) for row in rows]}))


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--model", default="novice", help=f"folder, novice, or {', '.join(SHAPES)}")
    parser.add_argument("--prompt", type=int, default=128, help="prompt tokens of a sequence")
    parser.add_argument("--decode", type=int, default=64, help="tokens to generate")
    parser.add_argument("--sequences", type=int, nargs="+", default=[1, 4, 16])
    parser.add_argument("--rounds", type=int, default=3, help="counted rounds, medians are shown")
    parser.add_argument("--step-tokens", type=int, default=512, help="token budget of a step")
    parser.add_argument("--threads", type=int, default=0, help="torch threads; 0: all cores")
    parser.add_argument("--structured", action="store_true", help="measure JSON schema answers too")
    parser.add_argument("--drafts", type=int, default=0, help="compare with so many drafts a step")
    return parser.parse_args()


def build(options: argparse.Namespace) -> Decoder:
    if options.threads:
        torch.set_num_threads(options.threads)
    tokens = max(options.sequences) * (options.prompt + options.decode + 16)
    pages = -(-tokens // 16) * 2
    if options.model in SHAPES:
        return random_model(options.model, execution=LocalExecution(), page_count=pages)
    return load_model(find_model(options.model), execution=LocalExecution(), page_count=pages)


def schema(options: argparse.Namespace, model: Decoder) -> Grammar:
    """The schema for the model's own tokenizer; novice's for a shape, which has none."""
    folder = find_model("novice" if options.model in SHAPES else options.model)
    tokenizer = Tokenizer.load(folder)
    grammars = Grammars(tokenizer.source, tokenizer.end_ids, model.vocabulary_size)
    return grammars.compile(Source(f"start: {json_rule(SCHEMA)}", "schema"))


def measure(
    engine: InferenceEngine,
    model: Decoder,
    options: argparse.Namespace,
    count: int,
    seed: int,
    grammar: Grammar | None,
) -> Figures:
    """One round: submit `count` requests at once and take the time of every token."""
    generator = random.Random(seed)
    times: queue.Queue[tuple[int, float]] = queue.Queue()
    started = time.perf_counter()
    for index in range(count):
        ids = generator.choices(range(model.vocabulary_size), k=options.prompt)
        sampling = Sampling(temperature=0)
        salt = f"{seed} {grammar is None}"  # the second of the two may not find pages of the first
        request = Request(
            f"{seed}-{index}", tuple(ids), options.decode, sampling, salt=salt, grammar=grammar
        )
        engine.submit(request, partial(note, times, index))
    stamps: list[list[float]] = [[] for _ in range(count)]
    for _ in range(count * options.decode):
        index, moment = times.get(timeout=600)
        stamps[index].append(moment - started)
    return figures(stamps, options.prompt)


def note(times: "queue.Queue[tuple[int, float]]", index: int, event: Event) -> None:
    assert isinstance(event, Token), event
    times.put((index, time.perf_counter()))


def figures(stamps: list[list[float]], prompt: int) -> Figures:
    count, tokens = len(stamps), len(stamps[0])
    last_first = max(row[0] for row in stamps)
    gaps = [later - earlier for row in stamps for earlier, later in pairwise(row)]
    end, begin = max(row[-1] for row in stamps), min(row[0] for row in stamps)
    return Figures(
        sequences=count,
        prefill_tokens_per_s=count * prompt / last_first,
        step_ms=1000 * statistics.median(gaps),
        decode_tokens_per_s=count * (tokens - 1) / (end - begin),
    )


def median(rounds: Sequence[Figures]) -> Figures:
    middle = statistics.median
    return Figures(
        sequences=rounds[0].sequences,
        prefill_tokens_per_s=middle(one.prefill_tokens_per_s for one in rounds),
        step_ms=middle(one.step_ms for one in rounds),
        decode_tokens_per_s=middle(one.decode_tokens_per_s for one in rounds),
    )


def table(options: argparse.Namespace, rows: Sequence[Figures], held: Sequence[Figures]) -> Table:
    title = f"{options.model}: {options.prompt} prompt tokens, {options.decode} generated"
    more = ("structured tok/s", "cost") if held else ()
    shown = Table("sequences", "prefill tok/s", "ms/step", "decode tok/s", *more, title=title)
    for row, other in zip_longest(rows, held):
        cells = [
            str(row.sequences),
            f"{row.prefill_tokens_per_s:.0f}",
            f"{row.step_ms:.2f}",
            f"{row.decode_tokens_per_s:.0f}",
        ]
        if other is not None:
            speed = other.decode_tokens_per_s
            cells += [f"{speed:.0f}", f"{100 * (1 - speed / row.decode_tokens_per_s):.1f} %"]
        shown.add_row(*cells)
    return shown


if __name__ == "__main__":
    main()
