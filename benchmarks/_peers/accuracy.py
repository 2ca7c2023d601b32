"""What low bits cost: each peer reads conversations of novice, and is compared with bf16.

The conversations are made like those of its training, with a seed that training did not use.
"""

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from rich.table import Table
from tokenizers import Tokenizer

from benchmarks._peers.measure import Start, load
from benchmarks._peers.process import Process
from benchmarks._peers.protocol import Scores
from worker.model.source import find_model
from worker.novice.batches import Row, to_row
from worker.novice.chat import load_template, render
from worker.novice.corpus import conversations
from worker.novice.template import TEMPLATE

SEED = 20_000
CONVERSATIONS = 40


@dataclass(frozen=True)
class Accuracy:
    """Over the assistant's tokens; top-1 is the share where the likeliest is that of bf16."""

    perplexity: float
    top_1: float


def texts() -> list[Row]:
    """Conversations in novice's own tokens."""
    tokenizer = Tokenizer.from_file(str(find_model("novice") / "tokenizer.json"))
    template = load_template(TEMPLATE)
    talks = islice(conversations(random.Random(SEED)), CONVERSATIONS)
    return [
        to_row(render(template, talk.messages, talk.tools, ask=False), tokenizer) for talk in talks
    ]


def checkpoint(cache: Path) -> Path:
    """Novice's folder, linked from where conversions of it may lie."""
    folder = cache / "models" / "novice" / "checkpoint"
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.unlink(missing_ok=True)
    folder.symlink_to(find_model("novice"), target_is_directory=True)
    return folder


def read(start: Start, rows: Sequence[Row]) -> list[Scores]:
    """What one peer expects of the assistant in each text. Raises `PeerFailed`."""
    with Process(start.command, start.threads, start.log) as process:
        load(process, start)
        return [
            _at(Scores(**process.ask("score", start.deadline_s, text=row.tokens)), row.where)
            for row in rows
        ]


def compare(found: Sequence[Scores], reference: Sequence[Scores]) -> Accuracy:
    """One peer against bf16."""
    logprobs = [each for scores in found for each in scores.logprobs]
    pairs = [
        one == other
        for scores, wanted in zip(found, reference, strict=True)
        for one, other in zip(scores.best, wanted.best, strict=True)
    ]
    return Accuracy(math.exp(-sum(logprobs) / len(logprobs)), sum(pairs) / len(pairs))


def table(found: dict[str, Accuracy]) -> Table:
    """A row a peer."""
    shown = Table("peer", "perplexity", "top-1 as bf16", title="novice, what it should answer")
    for peer, accuracy in found.items():
        shown.add_row(peer, f"{accuracy.perplexity:.4f}", f"{accuracy.top_1:.2%}")
    return shown


def _at(scores: Scores, where: Sequence[int]) -> Scores:
    """The scores of the tokens behind these places."""
    return Scores([scores.logprobs[at] for at in where], [scores.best[at] for at in where])
