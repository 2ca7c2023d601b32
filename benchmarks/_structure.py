"""What structure costs: answers held to a JSON schema, and free ones to the same prompts, in turn.

Both sides generate equally many tokens, sequence by sequence: a free answer does not end before it
has as many as the held one had. So each step has as many rows on both sides.

Two kinds of prompts. Novice's own test items that ask for JSON, each held to the schema of the
value that it asks for: the ordinary case, as the model says JSON anyway. And random tokens, held to
one large schema: the hard case, as the model would rather say something else.
"""

import queue
import random
import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Protocol

from rich.table import Table

from benchmarks._drafts import Speed, Stamp
from benchmarks._ratio import Ratio, in_turn
from worker.api.structure import json_rule
from worker.api.tokenizer import Tokenizer
from worker.engine.engine import InferenceEngine
from worker.engine.grammar import Grammars, Source
from worker.engine.request import Event, Request, Sampling, Token
from worker.model.decoder import Decoder
from worker.model.source import find_model
from worker.novice.chat import load_template, render
from worker.novice.evaluate import SETS, load_items
from worker.novice.grade import Json
from worker.novice.template import TEMPLATE

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

GROUPS = 5
"""Answers of a round one behind the other; those to novice's items are short."""


Lengths = Sequence[Sequence[int]]
"""Tokens of answers, by group."""


class Prompts(Protocol):
    """The requests of a round, held, in groups that run at once."""

    def __call__(self, count: int, seed: int) -> list[list[Request]]: ...


@dataclass(frozen=True)
class Cost:
    """One row of the table: decoding with and without a grammar; the ratio is of paired rounds."""

    prompts: str
    sequences: int
    tokens: int  # of a round
    free_tokens_per_s: float
    held_tokens_per_s: float
    ratio: Ratio  # by the clock
    cpu_ratio: Ratio


class Kinds:
    """Makes the requests of both kinds.

    Args:
        folder: whose tokenizer the model has, or may have
        prompt, decode: random tokens of a prompt, and tokens of an answer to it
        temperature: of both
    """

    def __init__(
        self, model: Decoder, folder: str, prompt: int, decode: int, temperature: float
    ) -> None:
        self._size, self._prompt, self._decode = model.vocabulary_size, prompt, decode
        self._sampling = Sampling(temperature=temperature)
        self._tokenizer = Tokenizer.load(find_model(folder))
        tokenizer = self._tokenizer
        self._grammars = Grammars(tokenizer.source, tokenizer.end_ids, model.vocabulary_size)

    def random(self, count: int, seed: int) -> list[list[Request]]:
        generator = random.Random(seed)
        ids = range(self._size)
        prompts = [tuple(generator.choices(ids, k=self._prompt)) for _ in range(count)]
        return [[self._request(prompt, SCHEMA, self._decode) for prompt in prompts]]

    def asking(self, count: int, seed: int) -> list[list[Request]]:  # noqa: ARG002
        template = load_template(TEMPLATE)
        items = [item for which in SETS for item in load_items(which)]
        asked: list[Request] = []
        for item in items:
            if isinstance(item.grader, Json):
                text = render(template, item.messages, item.tools, ask=True)
                prompt = tuple(self._tokenizer.encode(text, add_special_tokens=False))
                asked.append(self._request(prompt, schema_of(item.grader.value), 2 * self._decode))
        starts = range(0, len(asked) - count + 1, count)
        return [asked[start : start + count] for start in starts][:GROUPS]

    def _request(self, prompt: tuple[int, ...], schema: Any, most: int) -> Request:
        grammar = self._grammars.compile(Source(f"start: {json_rule(schema)}", "schema"))
        return Request("", prompt, most, self._sampling, grammar=grammar)


def schema_of(value: Any) -> dict[str, Any]:
    """What a careful user would send who wants such a value."""
    if isinstance(value, dict):
        members = {name: schema_of(member) for name, member in value.items()}
        required = {"required": list(value), "additionalProperties": False}
        return {"type": "object", "properties": members, **required}
    if isinstance(value, list):
        return {"type": "array", "items": schema_of(value[0]) if value else {}}
    names = {bool: "boolean", int: "integer", float: "number", str: "string", type(None): "null"}
    return {"type": names[type(value)]}


def cost(
    engine: InferenceEngine,
    kind: str,
    prompts: Prompts,
    counts: Sequence[int],
    rounds: int,
) -> Iterator[Cost]:
    """Measure one kind of prompts at each number of sequences."""
    for count in counts:
        lengths = _lengths(engine, prompts(count, 0))
        before, after = zip(
            *in_turn(
                partial(_speed, engine, prompts, count, lengths),
                partial(_speed, engine, prompts, count, None),
                rounds,
            ),
            strict=True,
        )
        yield Cost(
            kind,
            count,
            sum(map(sum, lengths)),
            statistics.median(speed.by_clock for speed in before),
            statistics.median(speed.by_clock for speed in after),
            Ratio.of([speed.by_clock for speed in before], [speed.by_clock for speed in after]),
            Ratio.of([speed.by_cpu for speed in before], [speed.by_cpu for speed in after]),
        )


def table(rows: Sequence[Cost]) -> Table:
    speeds = ("free tok/s", "held tok/s", "ratio", "in cpu time")
    shown = Table("prompts", "sequences", "tokens", *speeds)
    for row in rows:
        shown.add_row(
            row.prompts,
            str(row.sequences),
            str(row.tokens),
            f"{row.free_tokens_per_s:.0f}",
            f"{row.held_tokens_per_s:.0f}",
            str(row.ratio),
            str(row.cpu_ratio),
        )
    return shown


def _speed(
    engine: InferenceEngine, prompts: Prompts, count: int, lengths: Lengths | None, seed: int
) -> Speed:
    """One round behind the first tokens of each group: held, or free and of such lengths."""
    tokens, seconds, cpu_seconds = 0, 0.0, 0.0
    for place, group in enumerate(prompts(count, seed)):
        asked = [
            replace(one, salt=f"{seed} {lengths is None}") for one in group
        ]  # no page is known
        if lengths is not None:
            pairs = zip(asked, lengths[place], strict=True)
            asked = [replace(one, grammar=None, max_tokens=most) for one, most in pairs]
        heard = _run(engine, asked)
        (begin, cpu_begin), (end, cpu_end) = heard[0][0], heard[-1][0]
        tokens += len(heard) - len(group)
        seconds += end - begin
        cpu_seconds += cpu_end - cpu_begin
    return Speed(tokens / seconds, tokens / cpu_seconds)


def _lengths(engine: InferenceEngine, groups: Sequence[Sequence[Request]]) -> Lengths:
    """Tokens of the held answers, which are equally many in each round."""
    lengths: list[list[int]] = []
    for group in groups:
        ends = {index: token.generated for _, index, token in _run(engine, group)}
        lengths.append([ends[index] for index in range(len(group))])
    return lengths


def _run(engine: InferenceEngine, group: Sequence[Request]) -> list[tuple[Stamp, int, Token]]:
    """All tokens of a group that runs at once, with their times, each with its request's place."""
    heard: queue.SimpleQueue[tuple[Stamp, int, Event]] = queue.SimpleQueue()

    def note(index: int, event: Event) -> None:
        heard.put(((time.perf_counter(), time.process_time()), index, event))

    def follow(_: Event) -> None:
        """Submit all between two steps: so they are read, and go on, in the same ones."""
        for index, request in enumerate(group):
            engine.submit(replace(request, id=f"{index}"), partial(note, index))

    engine.submit(replace(group[0], id="first", max_tokens=1), follow)
    told: list[tuple[Stamp, int, Token]] = []
    for _ in group:
        finish = None
        while finish is None:
            stamp, index, token = heard.get(timeout=600)
            assert isinstance(token, Token), token
            told.append((stamp, index, token))
            finish = token.finish
    return told
