"""One turn of one peer: started, loaded, warmed up, asked for each column, and ended."""

import random
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks._peers.process import Process
from benchmarks._peers.protocol import SEQUENCES

COLUMNS = ("prefill", "single", "sixteen")


@dataclass(frozen=True)
class Work:
    """How much a turn asks for, in tokens: `long` is read at once, `short` before decoding."""

    long: int
    short: int
    decoded: int
    words: int  # token ids are below


@dataclass(frozen=True)
class Start:
    """How a peer is started and what it loads; `options` are flags of our own worker."""

    command: tuple[str, ...]
    model: Path
    options: tuple[str, ...]
    threads: int
    deadline_s: float  # of each answer
    log: Path


@dataclass(frozen=True)
class Turn:
    """What one turn gave: tokens a second in each of `COLUMNS`, all sequences together."""

    name: str
    speeds: dict[str, float]
    peak_bytes: int


def turn(start: Start, work: Work, seed: int) -> Turn:
    """Measure one peer once; equal seeds are equal prompts. Raises `PeerFailed`."""
    dice = random.Random(seed)
    with Process(start.command, start.threads, start.log) as process:
        name = load(process, start)

        def one_round(count: int, length: int, tokens: int) -> dict[str, Any]:
            prompts = [dice.choices(range(work.words), k=length) for _ in range(count)]
            return process.ask("round", start.deadline_s, prompts=prompts, tokens=tokens)

        one_round(SEQUENCES, work.short // 4, 4)  # warms up
        first = one_round(1, work.long, 1)
        single = one_round(1, work.short, work.decoded)
        sixteen = one_round(SEQUENCES, work.short, work.decoded)
        speeds = {
            "prefill": work.long / first["first_s"],
            "single": 1 / median(single["steps_s"]),
            "sixteen": SEQUENCES / median(sixteen["steps_s"]),
        }
        return Turn(name, speeds, process.peak_bytes)


def load(process: Process, start: Start) -> str:
    """Load the model; the peer's own name for itself. Raises `PeerFailed`."""
    fields = {"model": str(start.model), "threads": start.threads, "options": list(start.options)}
    name: str = process.ask("load", start.deadline_s, **fields)["name"]
    return name
