"""What a runner can do and how it is asked: one JSON object a line each way, over stdin and stdout.

    {"do": "load", "model": "...", "threads": 2}     {"done": {"name": "engine 1.0", ...}}
    {"do": "round", "prompts": [[1, 2]], ...}        {"done": {"first_s": 0.1, "steps_s": [...]}}

A refusal is {"failed": "..."}. It ends when nobody asks any more. This file runs in all peers'
environments, so it needs Python alone.
"""

import json
import os
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

CONTEXT_TOKENS = 8192
"""Tokens of keys and values for which each peer makes room, all sequences together."""

SEQUENCES = 16


@dataclass(frozen=True)
class Loaded:
    """What answers, as the table shows it: the library and its version."""

    name: str


@dataclass(frozen=True)
class Round:
    """Seconds until every prompt has its first token, and of each further step of all of them."""

    first_s: float
    steps_s: list[float]


@dataclass(frozen=True)
class Scores:
    """For each token of a text from its second on: its log-probability, and the likeliest id."""

    logprobs: list[float]
    best: list[int]


class Runner(Protocol):
    """One peer, in a process of its own."""

    def load(self, model: str, threads: int, options: Sequence[str]) -> Loaded:
        """Read the model at this path; `options` are flags of our own worker."""

    def round(self, prompts: list[list[int]], tokens: int) -> Round:
        """Read prompts of equal length together, then choose `tokens` tokens greedily for each."""

    def score(self, text: list[int]) -> Scores:
        """Read a text and tell what was expected of it."""


def speak(runner: Runner) -> None:
    """Answer requests until nobody asks any more."""
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what a library prints must not look like a reply
    actions: Mapping[str, Callable[..., Loaded | Round | Scores]] = {
        "load": runner.load,
        "round": runner.round,
        "score": runner.score,
    }
    for line in sys.stdin:
        request: dict[str, Any] = json.loads(line)
        action = actions[request.pop("do")]
        try:
            reply: dict[str, Any] = {"done": asdict(action(**request))}
        except Exception as error:  # whatever it is, the one who asked should hear it
            traceback.print_exc()
            reply = {"failed": f"{type(error).__name__}: {error}"}
        print(json.dumps(reply), file=replies, flush=True)
