"""Our worker as a peer: the engine that a worker would serve with, asked without HTTP."""

import queue
import time
from collections.abc import Sequence
from contextlib import closing
from functools import partial
from itertools import pairwise

from benchmarks._peers.protocol import CONTEXT_TOKENS, SEQUENCES, Loaded, Round, Scores, speak
from cloister.errors import CloisterError
from worker.build import Worker, build
from worker.engine.request import Event, Request, Sampling, Token
from worker.settings import WorkerSettings

Heard = queue.SimpleQueue[tuple[float, Token | CloisterError]]
GREEDY = Sampling(temperature=0)


class Us:
    """The engine of one worker."""

    def __init__(self) -> None:
        self._worker: Worker | None = None
        self._asked = 0

    def load(self, model: str, threads: int, options: Sequence[str]) -> Loaded:
        words = ["--model", model, "--threads", str(threads), *room(), *options]
        self._worker = build(WorkerSettings.load(words))
        return Loaded(f"cloister {' '.join(options)}".strip())

    def round(self, prompts: list[list[int]], tokens: int) -> Round:
        started = time.perf_counter()
        listening = [
            self._submit(Request(self._id(), tuple(ids), tokens, GREEDY)) for ids in prompts
        ]
        stamps = [[_heard(heard)[0] for _ in range(tokens)] for heard in listening]
        whole = [max(row[place] for row in stamps) for place in range(tokens)]
        return Round(whole[0] - started, steps(stamps))

    def score(self, text: list[int]) -> Scores:
        request = Request(self._id(), tuple(text), 1, GREEDY, logprobs=1, scores_prompt=True)
        told = _heard(self._submit(request))[1].prompt
        return Scores([one.value for one in told], [one.top[0][0] for one in told])

    def close(self) -> None:
        """Stop the engine."""
        if self._worker is not None:
            self._worker.close()

    def _id(self) -> str:
        self._asked += 1
        return str(self._asked)

    def _submit(self, request: Request) -> Heard:
        assert self._worker is not None
        heard: Heard = queue.SimpleQueue()
        self._worker.engine.submit(request, partial(_note, heard))
        return heard


def room() -> tuple[str, ...]:
    """Flags of a worker with as much room as every peer has."""
    return ("--cache-pages", str(CONTEXT_TOKENS // 16), "--sequences", str(SEQUENCES))


def steps(stamps: list[list[float]]) -> list[float]:
    """Gaps between the tokens of a sequence while all sequences run, from each one's times."""
    begin, end = max(row[0] for row in stamps), min(row[-1] for row in stamps)
    times = [stamp for stamp in stamps[0] if begin <= stamp <= end]
    return [later - earlier for earlier, later in pairwise(times)]


def _note(heard: Heard, event: Event) -> None:
    heard.put((time.perf_counter(), event))


def _heard(heard: Heard) -> tuple[float, Token]:
    stamp, event = heard.get()
    if isinstance(event, CloisterError):
        raise event
    return stamp, event


if __name__ == "__main__":
    with closing(Us()) as us:
        speak(us)
