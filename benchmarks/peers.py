"""We and other engines on one model, in turn on this machine: speed, memory, share of the limit.

    python -m benchmarks.peers --cache ~/.cache/cloister-peers --prepare       # once, takes long
    python -m benchmarks.peers --cache ~/.cache/cloister-peers --threads 2 --http

The model is random weights of the Llama-3.2-1B shape with a tokenizer, made here and converted for
each peer: llama.cpp (Q4_0, Q8_0), OpenVINO GenAI (int4, groups of 64), transformers (bf16). Each
has an environment of its own in the cache, with exact versions; what is ready is used again.

In each round every peer in turn is started, loaded, warmed up, measured and ended, with the same
prompts and as many threads. Columns, medians of the rounds:

- prefill: a prompt of 512 tokens, over the time to its first token.
- 1 sequence, 16 sequences: tokens a second of all together, by the median step, behind prompts
  of 128 tokens. Tokens are chosen greedily.
- 1.23x: over the best of the other peers. 45%: of what memory bandwidth and int8 arithmetic, both
  measured first, would allow with 4-bit weights.
- peak: VmHWM, the most memory that the whole process ever had resident.

With --http each peer's own server (for OpenVINO a thin one of ours) is loaded as in
`benchmarks.serve`, with 1, 4 and 16 streams of about 128 tokens in, 64 out. With --accuracy each
peer reads a text of the shipped model, novice, and is compared with bf16. A peer that cannot be
prepared, crashes or hangs is told as missing, with the reason; then the exit status is 1. The last
line is JSON.
"""

import argparse
import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from benchmarks._peers import limits, report, served
from benchmarks._peers.catalogue import PEERS, US, Peer
from benchmarks._peers.checkpoint import SHAPES, SPECIAL, write_checkpoint
from benchmarks._peers.environment import remove
from benchmarks._peers.measure import Turn, Work, turn
from benchmarks._peers.process import PeerFailed
from benchmarks._peers.ready import Place, Ready
from worker.model.shapes import shape

SIZES = {"1b": (512, 128, 32), "tiny": (64, 16, 8)}
"""Tokens of a long prompt, of a short one, and to decode."""

Made = TypeVar("Made")


def main(argv: Sequence[str] | None = None, catalogue: Mapping[str, Peer] = PEERS) -> int:
    """Measure and print; 1 if a peer that was asked for is missing."""
    args = _parser(catalogue).parse_args(argv)
    args.cache = args.cache.expanduser().resolve()
    console = Console(width=120 if not sys.stdout.isatty() else None)
    with _bar() as bar:
        bench = Bench(args, catalogue, bar)
        found = {} if args.prepare else bench.measure()
    for shown in found.pop("tables", ()):
        console.print(shown)
    for peer, reason in bench.missing.items():
        console.print(f"missing: {peer}: {reason}", markup=False, soft_wrap=True)
    print(json.dumps({**found, "missing": bench.missing}))
    return 1 if bench.missing else 0


def _parser(catalogue: Mapping[str, Peer]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.peers",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--cache", type=Path, required=True, help="folder of environments and models, some 10 GB")
    add("--peers", nargs="+", choices=catalogue, default=list(catalogue), help="who takes part")
    add("--shape", choices=SIZES, default="1b", help="of the model (%(default)s)")
    add("--rounds", type=int, default=5, help="turns of each peer (%(default)s)")
    add("--threads", type=int, default=os.cpu_count(), help="of each peer (%(default)s)")
    add("--weights", help="how our worker holds weights; by default what it does by itself")
    add("--http", action="store_true", help="load the peers' servers too")
    add("--streams", type=int, nargs="+", default=[1, 4, 16], help="with --http (1 4 16)")
    add("--requests", type=int, default=2, help="requests a stream, with --http (%(default)s)")
    add("--jobs", type=int, default=os.cpu_count(), help="compilers at once (%(default)s)")
    add("--deadline-s", type=float, default=600, help="longest wait for an answer (%(default)s)")
    add("--prepare", action="store_true", help="make environments and models ready, and stop")
    return parser


class Bench:
    """The peers of one run. `missing` tells why one has no figures, or no more of them."""

    def __init__(self, args: argparse.Namespace, catalogue: Mapping[str, Peer], bar: Progress):
        self.missing: dict[str, str] = {}
        self._args = args
        self._bar = bar
        self._config = shape(SHAPES[args.shape])
        self._checkpoint = self._write()
        options = ("--weights", args.weights) if args.weights else ()
        place = Place(args.cache, args.threads, args.jobs, args.deadline_s, options)
        self._ready = self._prepare([catalogue[name] for name in args.peers], place)

    def measure(self) -> dict[str, Any]:
        """All figures for the JSON, and `tables` of them."""
        args, work = self._args, self._work()
        hardware = self._attempt("hardware", lambda: limits.measure(args.cache, args.threads))
        turns = self._rounds("engines", lambda ready, seed: self._turn(ready, work, seed))
        rows = report.rows(turns, hardware, limits.Size.of(self._config), work)
        title = f"{SHAPES[args.shape]}, {args.threads} threads, {args.rounds} rounds"
        found: dict[str, Any] = {
            "shape": args.shape,
            "threads": args.threads,
            "rounds": args.rounds,
            "limits": asdict(hardware) if hardware else None,
            "engines": [asdict(row) for row in rows],
            "goals": report.goals(rows, US.name),
            "tables": [report.table(rows, title)],
        }
        if args.http:
            found["servers"] = self._servers()
            found["tables"].append(served.table(found["servers"]))
        return found

    def _work(self) -> Work:
        long, short, decoded = SIZES[self._args.shape]
        return Work(long, short, decoded, self._config.vocabulary_size - len(SPECIAL))

    def _servers(self) -> dict[str, dict[str, dict[str, float]]]:
        args = self._args
        serving = [ready for ready in self._ready if ready.peer.server]
        for ready in self._ready:
            if ready not in serving:
                self.missing[f"{ready.peer.name} by HTTP"] = "no server of it is set up here"

        def one(ready: Ready, _: int) -> list[served.Level]:
            return served.load(ready.server(self._checkpoint), args.streams, args.requests)

        found = self._rounds("servers", one, serving)
        return {peer: served.medians(turns) for peer, turns in found.items() if turns}

    def _turn(self, ready: Ready, work: Work, seed: int) -> Turn:
        return turn(ready.runner(self._checkpoint), work, seed)

    def _rounds(
        self, name: str, one: Callable[[Ready, int], Made], peers: Sequence[Ready] | None = None
    ) -> dict[str, list[Made]]:
        """`one` of each peer in turn, again and again; who fails takes no further part."""
        left = list(self._ready if peers is None else peers)
        made: dict[str, list[Made]] = {ready.peer.name: [] for ready in left}
        steps = self._bar.add_task(name, total=self._args.rounds * len(left))
        for seed in range(self._args.rounds):
            for ready in tuple(left):
                result = self._attempt(ready.peer.name, lambda: one(ready, seed))  # noqa: B023
                if result is None:
                    left.remove(ready)
                else:
                    made[ready.peer.name].append(result)
                self._bar.advance(steps)
        return made

    def _prepare(self, peers: Sequence[Peer], place: Place) -> list[Ready]:
        found = []
        for peer in self._bar.track(peers, description="preparing"):
            ready = self._attempt(peer.name, lambda: Ready(peer, place))  # noqa: B023
            if ready and self._attempt(peer.name, lambda: ready.model(self._checkpoint)):  # noqa: B023
                found.append(ready)
        return found

    def _write(self) -> Path:
        """The checkpoint of the shape, written if it is not there."""
        folder: Path = self._args.cache / "models" / self._args.shape / "checkpoint"
        steps = self._bar.add_task("model", total=None, visible=not folder.exists())
        if not folder.exists():
            partial = folder.with_name("checkpoint.partial")
            remove(partial)
            write_checkpoint(
                partial, self._args.shape, lambda count: self._bar.advance(steps, count)
            )
            partial.rename(folder)
        return folder

    def _attempt(self, name: str, make: Callable[[], Made]) -> Made | None:
        """What `make` gives; None, and a reason in `missing`, if it fails."""
        try:
            return make()
        except PeerFailed as error:
            self.missing[name] = str(error)
            return None


def _bar() -> Progress:
    return Progress(
        TextColumn("{task.description:>9}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=Console(stderr=True),
    )


if __name__ == "__main__":
    sys.exit(main())
