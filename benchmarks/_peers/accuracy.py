"""What low bits cost: each peer reads the test prompts of novice, and is compared with bf16."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.table import Table

from benchmarks._drafts import requests
from benchmarks._peers.measure import Start, load
from benchmarks._peers.process import Process
from benchmarks._peers.protocol import Scores
from worker.model.source import find_model

SKILLS = ("about", "chat", "copying", "dialogue", "json", "stories")


@dataclass(frozen=True)
class Accuracy:
    """Perplexity over all tokens but the first of each text; top-1 is the share equal to bf16."""

    perplexity: float
    top_1: float


def texts() -> list[list[int]]:
    """Prompts of novice in its own tokens."""
    return [list(request.prompt) for request in requests(SKILLS)]


def checkpoint(cache: Path) -> Path:
    """Novice's folder, linked from where conversions of it may lie."""
    folder = cache / "models" / "novice" / "checkpoint"
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.unlink(missing_ok=True)
    folder.symlink_to(find_model("novice"), target_is_directory=True)
    return folder


def read(start: Start, read_by_all: Sequence[Sequence[int]]) -> list[Scores]:
    """What one peer expects in each text. Raises `PeerFailed`."""
    with Process(start.command, start.threads, start.log) as process:
        load(process, start)
        return [
            Scores(**process.ask("score", start.deadline_s, text=list(text)))
            for text in read_by_all
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
    shown = Table("peer", "perplexity", "top-1 as bf16", title="novice, its test prompts")
    for peer, accuracy in found.items():
        shown.add_row(peer, f"{accuracy.perplexity:.4f}", f"{accuracy.top_1:.2%}")
    return shown
