"""What drafts are worth on novice: its own test prompts, answered with and without them in turn."""

import itertools
import queue
import statistics
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

from rich.table import Table

from benchmarks._ratio import Ratio, in_turn
from worker.api.tokenizer import Tokenizer
from worker.engine.drafts import Drafter, Lookup, Wish
from worker.engine.engine import InferenceEngine
from worker.engine.limits import Limits
from worker.engine.request import Event, Listener, Request, Sampling, Token
from worker.engine.sequence import Sequence as Wanted
from worker.execution.local import LocalExecution
from worker.kernels.native import Kernels
from worker.model.decoder import Decoder
from worker.model.load import load_model
from worker.model.source import find_model
from worker.novice.chat import load_template, render
from worker.novice.evaluate import SETS, load_items
from worker.novice.template import TEMPLATE

KINDS = {"copy and edit": ("copying",), "no help": ("spelling", "stories", "chat")}
"""Skills whose answers repeat their prompts, and skills whose answers hardly do."""

WARM_UP = 3
"""Pairs that do not count: in them the prices of guesses are learnt."""

PROMPTS = 12
LONGEST = 150
PAGES = 2000
STEP_TOKENS = 4096  # all prompts are read in one step


@dataclass(frozen=True)
class Worth:
    """One row of the table: decoding with and without drafts; the ratio is of paired rounds."""

    prompts: str
    sequences: int
    plain_tokens_per_s: float
    drafted_tokens_per_s: float
    ratio: Ratio  # by the clock
    cpu_ratio: Ratio
    accepted: float  # of the guessed tokens


@dataclass(frozen=True)
class Speed:
    """Tokens a second: of the clock, and of the process's own time."""

    by_clock: float
    by_cpu: float


Stamp = tuple[float, float]
Heard = queue.SimpleQueue[tuple[Stamp, Event]]


class Switch:
    """A drafter that is turned off and on while its engine waits for work."""

    def __init__(self, drafter: Drafter) -> None:
        self.most = 0
        self._drafter = drafter

    def turn(self, *, is_on: bool) -> None:
        self.most = self._drafter.most if is_on else 0

    def grade(self, sequence: Wanted) -> int:
        return self._drafter.grade(sequence)

    def draft(self, wishes: Iterable[Wish]) -> list[list[int]]:
        return self._drafter.draft(wishes)

    def forget(self, sequence: Wanted) -> None:
        self._drafter.forget(sequence)


def worth(kernels: Kernels, counts: Sequence[int], rounds: int, most: int) -> Iterator[Worth]:
    """Measure each kind of prompts at each number of sequences.

    Both ways are one engine: two threads, or two copies of the weights, were seen to differ by
    10 % in speed for as long as they lived.
    """
    model = load_model(
        find_model("novice"), execution=LocalExecution(kernels), kernels=kernels, page_count=PAGES
    )
    for (kind, skills), count in itertools.product(KINDS.items(), counts):
        yield _worth(model, kernels, kind, requests(skills), count, rounds, most)


def table(rows: Sequence[Worth]) -> Table:
    speeds = ("plain tok/s", "drafted tok/s", "ratio", "in cpu time")
    shown = Table("prompts", "sequences", *speeds, "accepted")
    for row in rows:
        shown.add_row(
            row.prompts,
            str(row.sequences),
            f"{row.plain_tokens_per_s:.0f}",
            f"{row.drafted_tokens_per_s:.0f}",
            str(row.ratio),
            str(row.cpu_ratio),
            f"{row.accepted:.0%}",
        )
    return shown


def requests(skills: Sequence[str]) -> list[Request]:
    """Some of novice's test items, evenly of each skill."""
    tokenizer = Tokenizer.load(find_model("novice"))
    template = load_template(TEMPLATE)
    items = [item for which in SETS for item in load_items(which)]
    of_skills = [[item for item in items if item.skill == skill] for skill in skills]
    mixed = [item for group in itertools.zip_longest(*of_skills) for item in group if item]
    texts = [render(template, item.messages, item.tools, ask=True) for item in mixed[:PROMPTS]]
    return [
        Request(
            id=str(place),
            prompt=tuple(tokenizer.encode(text, add_special_tokens=False)),
            max_tokens=LONGEST,
            sampling=Sampling(temperature=0),
            stop_ids=tokenizer.end_ids,
        )
        for place, text in enumerate(texts)
    ]


def _worth(
    model: Decoder,
    kernels: Kernels,
    kind: str,
    asked: Sequence[Request],
    count: int,
    rounds: int,
    most: int,
) -> Worth:
    switch = Switch(Lookup(most))
    vocabulary = Tokenizer.load(find_model("novice"))
    limits = Limits(step_tokens=STEP_TOKENS)
    engine = InferenceEngine(model, vocabulary, limits, switch, draw=kernels.draw)
    engine.start()
    try:
        without, with_them = (
            partial(_speed, engine, switch, is_on, asked, count) for is_on in (False, True)
        )
        before, after = zip(*in_turn(without, with_them, rounds, WARM_UP), strict=True)
        load = engine.load()
    finally:
        engine.close()
    return Worth(
        kind,
        count,
        statistics.median(speed.by_clock for speed in before),
        statistics.median(speed.by_clock for speed in after),
        Ratio.of([speed.by_clock for speed in before], [speed.by_clock for speed in after]),
        Ratio.of([speed.by_cpu for speed in before], [speed.by_cpu for speed in after]),
        load.accepted_tokens / max(1, load.drafted_tokens),
    )


def _speed(
    engine: InferenceEngine,
    switch: Switch,
    is_on: bool,
    asked: Sequence[Request],
    count: int,
    seed: int,
) -> Speed:
    """Tokens a second behind the first ones, with `count` answers at a time."""
    switch.turn(is_on=is_on)
    asked = [replace(one, salt=f"{seed} {is_on}") for one in asked]  # no page is known
    tokens, seconds, cpu_seconds = 0, 0.0, 0.0
    for start in range(0, len(asked), count):
        heard: Heard = queue.SimpleQueue()
        group = asked[start : start + count]
        _at_once(engine, group, partial(_note, heard))
        stamps = [stamp for _ in group for stamp in _until_end(heard)]
        tokens += len(stamps) - len(group)
        seconds += stamps[-1][0] - stamps[0][0]
        cpu_seconds += stamps[-1][1] - stamps[0][1]
    return Speed(tokens / seconds, tokens / cpu_seconds)


def _at_once(engine: InferenceEngine, group: Sequence[Request], listener: Listener) -> None:
    """Submit all between two steps, from the listener of one more: so their decoding overlaps."""

    def follow(_: Event) -> None:
        for request in group:
            engine.submit(request, listener)

    engine.submit(replace(group[0], id="first", max_tokens=1), follow)


def _note(heard: Heard, event: Event) -> None:
    heard.put(((time.perf_counter(), time.process_time()), event))


def _until_end(heard: Heard) -> Iterator[Stamp]:
    """The times of all tokens up to the next one that ends an answer."""
    while True:
        stamp, event = heard.get(timeout=600)
        assert isinstance(event, Token), event
        yield stamp
        if event.finish is not None:
            return
