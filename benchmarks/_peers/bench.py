"""One run: peers made ready, then measured in turn; who fails is told and takes no further part."""

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, TypeVar

from rich.progress import Progress

from benchmarks._peers import accuracy, limits, report, served
from benchmarks._peers.catalogue import US, Peer
from benchmarks._peers.checkpoint import SHAPES, SPECIAL, write_checkpoint
from benchmarks._peers.environment import alone, remove
from benchmarks._peers.measure import Turn, Work, turn
from benchmarks._peers.process import PeerFailed
from benchmarks._peers.protocol import Scores
from benchmarks._peers.ready import Place, Ready
from worker.model.shapes import shape

SIZES = {"1b": (512, 128, 32), "tiny": (64, 16, 8)}
"""Tokens of a long prompt, of a short one, and to decode."""

Made = TypeVar("Made")


class Bench:
    """The peers of one run. `missing` tells why one has no figures, or no more of them."""

    def __init__(self, args: argparse.Namespace, catalogue: Mapping[str, Peer], bar: Progress):
        self.missing: dict[str, str] = {}
        self._args = args
        self._bar = bar
        self._config = shape(SHAPES[args.shape])
        self._checkpoint = self._write()
        options = ("--weights", args.weights) if args.weights else ()
        self._place = Place(args.cache, args.threads, args.jobs, args.deadline_s, options)
        self._ready = self._prepare([catalogue[name] for name in args.peers])

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
        if args.accuracy:
            compared = self._accuracy()
            found["accuracy"] = {peer: asdict(each) for peer, each in compared.items()}
            found["tables"].append(accuracy.table(compared))
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

    def _accuracy(self) -> dict[str, accuracy.Accuracy]:
        """Each peer that can read novice, beside ours in bf16."""
        novice, texts = accuracy.checkpoint(self._args.cache), accuracy.texts()

        def read(ready: Ready) -> list[Scores]:
            return accuracy.read(ready.runner(novice), texts)

        ours = Ready(US, replace(self._place, options=()))
        reference = self._attempt("accuracy", lambda: read(ours))
        if reference is None:
            return {}
        found = {"bf16": accuracy.compare(reference, reference)}
        for ready in self._bar.track(self._ready, description="accuracy"):
            name = ready.peer.name
            scores = self._attempt(f"{name} on novice", lambda: read(ready))  # noqa: B023
            if scores is not None:
                found[name] = accuracy.compare(scores, reference)
        return found

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

    def _prepare(self, peers: Sequence[Peer]) -> list[Ready]:
        found = []
        for peer in self._bar.track(peers, description="preparing"):
            ready = self._attempt(peer.name, lambda: Ready(peer, self._place))  # noqa: B023
            if ready and self._attempt(peer.name, lambda: ready.model(self._checkpoint)):  # noqa: B023
                found.append(ready)
        return found

    def _write(self) -> Path:
        """The checkpoint of the shape, written if it is not there."""
        folder: Path = self._args.cache / "models" / self._args.shape / "checkpoint"
        with alone(folder.parent):
            if not folder.exists():
                steps = self._bar.add_task("model", total=None)
                partial = folder.with_name("checkpoint.partial")
                remove(partial)
                advance = lambda count: self._bar.advance(steps, count)  # noqa: E731
                write_checkpoint(partial, self._args.shape, advance)
                partial.rename(folder)
        return folder

    def _attempt(self, name: str, make: Callable[[], Made]) -> Made | None:
        """What `make` gives; None, and a reason in `missing`, if it fails."""
        try:
            return make()
        except PeerFailed as error:
            self.missing[name] = str(error)
            return None
