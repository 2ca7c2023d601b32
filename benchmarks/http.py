"""What HTTP adds to the engine: the same tokens asked of the engine directly and through the API.

    python -m benchmarks.http

One stream. The worker's engine and API run in this process, as they do in a worker, the client in
another one; direct and HTTP rounds take turns. End tokens are turned off, so that every round has
equally many tokens. `per token`: time from the first to the last token, by the tokens between;
`first token`: from sending to the first one. Medians of the rounds; `added` is the difference. The
last line is JSON; the exit status is 1 when more than 1 ms per token is added.
"""

import argparse
import json
import queue
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from statistics import median

import httpx
import uvicorn
from rich.console import Console
from rich.table import Table

from cloister.serve import listen
from cloister.sse import Parser
from worker.build import Worker, build
from worker.engine.request import Event, Request, Sampling, Token
from worker.settings import WorkerSettings

LIMIT_MS = 1.0


@dataclass(frozen=True)
class Times:
    """One round, in milliseconds."""

    first_ms: float
    per_token_ms: float


def main() -> int:
    options = parse()
    if options.client:
        return client(options.client, json.loads(sys.stdin.read()))
    worker = build(WorkerSettings.load(["--model", options.model]))
    worker.served.tokenizer.end_ids = frozenset()
    with serving(worker) as url:
        rounds = [one_round(worker, url, options, seed) for seed in range(options.rounds + 1)]
    worker.engine.close()
    return report([direct for direct, _ in rounds[1:]], [told for _, told in rounds[1:]])


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--model", default="novice", help="what the worker serves")
    parser.add_argument("--prompt", type=int, default=64, help="prompt tokens")
    parser.add_argument("--decode", type=int, default=256, help="tokens to generate")
    parser.add_argument("--rounds", type=int, default=15, help="counted rounds of each kind")
    parser.add_argument("--client", metavar="URL", help=argparse.SUPPRESS)
    return parser.parse_args()


@contextmanager
def serving(worker: Worker) -> Iterator[str]:
    """The worker's API on a thread of its own, at a free port."""
    bound = listen("127.0.0.1", 0)
    bound.listen()
    server = uvicorn.Server(uvicorn.Config(worker.app, http="httptools", log_level="error"))
    thread = threading.Thread(target=server.run, args=([bound],))
    thread.start()
    yield f"http://127.0.0.1:{bound.getsockname()[1]}"
    server.should_exit = True
    thread.join()


def one_round(
    worker: Worker, url: str, options: argparse.Namespace, seed: int
) -> tuple[Times, Times]:
    """The same request directly, then by HTTP; prompts differ by one token, so none is cached."""
    generator = random.Random(seed)
    size = worker.served.vocabulary_size
    prompts = [generator.choices(range(size), k=options.prompt) for _ in range(2)]
    return direct(worker, prompts[0], options.decode), by_http(worker, url, prompts[1], options)


def direct(worker: Worker, prompt: list[int], count: int) -> Times:
    stamps: queue.Queue[float] = queue.Queue()

    def hear(event: Event) -> None:
        assert isinstance(event, Token), event
        stamps.put(time.perf_counter())

    started = time.perf_counter()
    request = Request("direct", tuple(prompt), count, Sampling(temperature=0))
    worker.engine.submit(request, hear)
    arrivals = [stamps.get(timeout=60) for _ in range(count)]
    return times(started, arrivals[0], arrivals[-1], count)


def by_http(worker: Worker, url: str, prompt: list[int], options: argparse.Namespace) -> Times:
    body = {
        "model": worker.served.name,
        "prompt": prompt,
        "max_tokens": options.decode,
        "temperature": 0,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    command = [sys.executable, "-m", "benchmarks.http", "--client", url]
    done = subprocess.run(
        command, input=json.dumps(body), capture_output=True, text=True, check=True
    )
    return Times(**json.loads(done.stdout))


def client(url: str, body: dict[str, object]) -> int:
    """The other process: warm a connection up, stream one answer, print its times."""
    parser = Parser()
    arrivals: list[float] = []
    tokens = 0
    with httpx.Client(base_url=url, timeout=60, trust_env=False) as http:
        http.get("/health")
        started = time.perf_counter()
        with http.stream("POST", "/v1/completions", json=body) as answer:
            for piece in answer.iter_raw():
                now = time.perf_counter()
                for event in parser.feed(piece):
                    chunk = {} if event.done else json.loads(event.data)
                    tokens = (chunk.get("usage") or {}).get("completion_tokens", tokens)
                    if any(choice["text"] for choice in chunk.get("choices", ())):
                        arrivals.append(now)
    json.dump(asdict(times(started, arrivals[0], arrivals[-1], tokens)), sys.stdout)
    return 0


def times(started: float, first: float, last: float, count: int) -> Times:
    return Times(1000 * (first - started), 1000 * (last - first) / (count - 1))


def report(direct: list[Times], told: list[Times]) -> int:
    table = Table("", "engine", "HTTP", "added", title="one stream, ms")
    added = {}
    rows: dict[str, Callable[[Times], float]] = {
        "first token": lambda one: one.first_ms,
        "per token": lambda one: one.per_token_ms,
    }
    for name, part in rows.items():
        plain, through = median(map(part, direct)), median(map(part, told))
        added[name] = through - plain
        table.add_row(name, f"{plain:.2f}", f"{through:.2f}", f"{added[name]:.2f}")
    Console().print(table)
    print(json.dumps({"added_ms": added, "limit_ms": LIMIT_MS}))
    return int(added["per token"] > LIMIT_MS)


if __name__ == "__main__":
    sys.exit(main())
