"""`cloister bench`: what the first token costs and each later one, in this process, without HTTP.

The same command runs natively and inside an enclave. Its last line is JSON, so what it prints can
be kept and two runs compared:

    cloister bench > native.txt
    cloister bench --compare native.txt enclave.txt
"""

import hashlib
import json
import queue
import statistics
import struct
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from cloister.errors import BadSettings, CloisterError
from cloister.settings import command
from worker.commands.options import Options, positive
from worker.engine.request import Engine, Event, Request, Sampling, Token

if TYPE_CHECKING:
    from worker.build import Worker

SETTINGS = ("model", "dtype", "weights", "threads", "cache_mb", "kv_cache_dtype", "step_tokens")
TEXT = "The river is wide and the boat is small. "
TIMEOUT_S = 600.0


@dataclass(frozen=True, slots=True)
class Figures:
    """Medians of one run. `digest` is equal where two runs chose the same tokens."""

    model: str
    threads: int
    prompt_tokens: int
    tokens: int
    first_s: float
    later_s: float
    digest: str


@dataclass(frozen=True, slots=True)
class Round:
    """One generation: its token ids, and when each came, in seconds after it was asked for."""

    ids: tuple[int, ...]
    times_s: tuple[float, ...]

    @property
    def later_s(self) -> float:
        return (self.times_s[-1] - self.times_s[0]) / (len(self.times_s) - 1)


@command
def main(argv: Sequence[str]) -> int:
    """The command. Exit status: 0, 2 if a model, a setting or a file is bad."""
    options = Options("bench", "Measure the cost of the first and of later tokens.", SETTINGS)
    add = options.parser.add_argument
    add("--prompt-tokens", type=positive, default=128, help="length of the prompt (default: 128)")
    add("--tokens", type=positive, default=64, help="tokens to generate, at least 2 (default: 64)")
    add("--rounds", type=positive, default=3, help="rounds that count, after one that warms up")
    add("--compare", nargs=2, metavar="FILE", type=Path, help="compare what two runs printed")
    words, settings = options.parse(argv)
    if words.compare:
        before, after = (read(path) for path in words.compare)
        _tell(compared(before, after))
        return 0
    from worker.build import build  # torch takes seconds to import: bad words are told first

    worker = build(settings)
    try:
        figures = measure(worker, settings.model, words.prompt_tokens, words.tokens, words.rounds)
    finally:
        worker.close()
    _tell(told(figures))
    return 0


def measure(worker: "Worker", model: str, prompt: int, tokens: int, rounds: int) -> Figures:
    """Generate greedily and alone, `rounds` times after a warm-up. Raises `BadSettings`."""
    if tokens < 2:
        raise BadSettings("--tokens must be at least 2: a first one and a later one")
    if prompt + tokens > worker.served.context_length:
        limit = worker.served.context_length
        raise BadSettings(f"--prompt-tokens and --tokens: {prompt + tokens} exceed {limit}")
    ids = prompt_ids(worker, prompt)
    done = [generate(worker.engine, ids, tokens, place) for place in range(rounds + 1)][1:]
    return Figures(
        model=Path(model).name,
        threads=worker.threads,
        prompt_tokens=prompt,
        tokens=tokens,
        first_s=statistics.median(one.times_s[0] for one in done),
        later_s=statistics.median(one.later_s for one in done),
        digest=digest(done[0].ids),
    )


def prompt_ids(worker: "Worker", count: int) -> tuple[int, ...]:
    """A prompt of exactly `count` tokens."""
    ids = worker.served.tokenizer.encode(TEXT)
    return tuple((ids * (count // len(ids) + 1))[:count])


def generate(engine: Engine, prompt: tuple[int, ...], count: int, place: int) -> Round:
    """One round. A salt of its own keeps it from finding the pages of the one before."""
    heard: queue.Queue[tuple[float, Event]] = queue.Queue()
    request = Request(f"bench-{place}", prompt, count, Sampling(temperature=0), salt=str(place))
    started = time.perf_counter()
    engine.submit(request, partial(_note, heard))
    ids, times_s = zip(*(_next(heard, started) for _ in range(count)), strict=True)
    return Round(ids, times_s)


def digest(ids: Sequence[int]) -> str:
    """Names a sequence of tokens without telling it."""
    return hashlib.sha256(struct.pack(f"<{len(ids)}q", *ids)).hexdigest()[:16]


def told(figures: Figures) -> Iterator[str]:
    """One run in lines; the last one is for `read`."""
    threads = f"{figures.threads} thread{'s' if figures.threads > 1 else ''}"
    yield f"{figures.model}: {figures.prompt_tokens} prompt tokens, {threads}"
    yield f"First token cost {figures.first_s:.4f} s"
    later = f"Last token cost average {figures.later_s:.4f} s"
    yield f"{later} ({figures.tokens} tokens in all)"
    yield json.dumps(asdict(figures))


def read(path: Path) -> Figures:
    """The figures that a run printed. Raises `BadSettings`."""
    try:
        return Figures(**json.loads(path.read_text(encoding="utf-8").strip().splitlines()[-1]))
    except OSError as error:
        raise BadSettings(f"--compare {path}: {error.strerror}") from None
    except (ValueError, TypeError, IndexError):
        raise BadSettings(f"--compare {path}: its last line is not that of a run") from None


def compared(before: Figures, after: Figures) -> Iterator[str]:
    """Two runs side by side. Raises `BadSettings` when they did different work."""
    for name in ("model", "prompt_tokens", "tokens"):
        one, other = getattr(before, name), getattr(after, name)
        if one != other:
            raise BadSettings(f"the runs differ in {name}: {one} and {other}")
    yield f"{before.model}: {before.prompt_tokens} prompt tokens, {before.tokens} generated"
    yield f"{'':<14}{'first':>12}{'second':>12}{'ratio':>9}"
    for name in ("first_s", "later_s"):
        one, other = getattr(before, name), getattr(after, name)
        label = "first token" if name == "first_s" else "later tokens"
        yield f"{label:<14}{one:>10.4f} s{other:>10.4f} s{other / one:>8.2f}x"
    yield f"{'threads':<14}{before.threads:>12}{after.threads:>12}"
    same = before.digest == after.digest
    yield "the same tokens were generated" if same else "DIFFERENT tokens were generated"


def _note(heard: "queue.Queue[tuple[float, Event]]", event: Event) -> None:
    heard.put((time.perf_counter(), event))


def _next(heard: "queue.Queue[tuple[float, Event]]", started: float) -> tuple[int, float]:
    moment, event = heard.get(timeout=TIMEOUT_S)
    if isinstance(event, CloisterError):
        raise event
    assert isinstance(event, Token)
    return event.id, moment - started


def _tell(lines: Iterator[str]) -> None:
    for line in lines:
        sys.stdout.write(line + "\n")
