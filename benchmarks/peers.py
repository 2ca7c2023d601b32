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
peer reads conversations of the shipped model, novice, and is compared with bf16. A peer that cannot
be prepared, crashes or hangs is told as missing, with the reason; then the exit status is 1. The
last line is JSON.
"""

import argparse
import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from benchmarks._peers.bench import SIZES, Bench
from benchmarks._peers.catalogue import PEERS, Peer


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
    add("--accuracy", action="store_true", help="compare what peers expect of novice's texts")
    add("--jobs", type=int, default=os.cpu_count(), help="compilers at once (%(default)s)")
    add("--deadline-s", type=float, default=600, help="longest wait for an answer (%(default)s)")
    add("--prepare", action="store_true", help="make environments and models ready, and stop")
    return parser


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
