"""Load on any OpenAI address: how soon, how evenly and how much it answers.

    python -m benchmarks.serve http://127.0.0.1:8000/v1 --streams 1,4,16 --plot load.svg

What the numbers mean (a *text* is a chunk whose delta has content; tokens are counted by the
server's `usage`, so an answer that ends early counts as what it is):

- TTFT: from sending the request to the first text. An empty role chunk is no text.
- ITL: gaps between neighbouring texts, of all requests together; `tokens_per_text` says how many
  tokens a text holds on average.
- TPOT: (last text - first text) / (tokens - 1), one value a request.
- E2E: from sending to the end of the stream.
- tok/s: output tokens of all good requests / (last end - first start), ramps included.
- errors: a status other than 200, an error event inside a stream, a stream that breaks off, a
  time-out. Such requests are in no other number.

Prompts are made to the wanted length in the server's tokens, are random and differ from their
first word on. Each load is warmed up first. `--rate` sends at random moments, whatever is still
under way (closed loops hide queueing). An API key is read from OPENAI_API_KEY. The last line of
the output is JSON.
"""

import argparse
import asyncio
import os
import random
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from benchmarks._load import closed_loop, open_loop
from benchmarks._plot import Panel, svg
from benchmarks._prompts import chat, measure
from benchmarks._report import Level, json_line, level, table
from cloister.client import Chat, Client, Options
from cloister.errors import CloisterError

RATE_FACTOR = 16  # a rate sends as many requests as 16 streams
CURVES = {
    "time to first token, ms (p50)": "ttft_ms_p50",
    "between tokens, ms (p50)": "itl_ms_p50",
    "output tokens a second": "output_tokens_per_s",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print, and return 1 if any request failed."""
    args = _parser().parse_args(argv)
    try:
        model, levels = asyncio.run(_measure(args))
    except CloisterError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    Console(width=110 if not sys.stdout.isatty() else None).print(table(levels))
    if args.plot:
        args.plot.write_text(svg(panels(levels), f"{model} at {args.url}"), encoding="utf-8")
    print(json_line(args.url, model, levels))
    return 1 if any(row.errors for row in levels) else 0


def panels(levels: Sequence[Level]) -> list[Panel]:
    """What is plotted: three curves, one point a load."""
    return [
        Panel(name, {"": [(row.load, getattr(row, key) or 0) for row in levels]})
        for name, key in CURVES.items()
    ]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.serve",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("url", nargs="?", default="http://127.0.0.1:8000/v1", help="OpenAI address (%(default)s)")
    add("--model", help="model to ask for (the first that the address lists)")
    add("--streams", type=_numbers, default=[1, 4, 16], help="parallel streams (1,4,16)")
    add("--rate", type=float, help="requests a second, at random moments, instead of --streams")
    add("--requests", type=int, default=4, help="requests a stream, or 16 times that at a rate (4)")
    add("--prompt-tokens", type=int, default=128, help="tokens of a prompt (%(default)s)")
    add("--output-tokens", type=int, default=64, help="most tokens of an answer (%(default)s)")
    add("--warm-up", type=int, default=2, help="requests before each load (%(default)s)")
    add("--temperature", type=float, default=1.0, help="of sampling; 0 is greedy (%(default)s)")
    add("--seed", type=int, default=0, help="of prompts and moments (%(default)s)")
    add("--timeout-s", type=float, default=600, help="longest a request may take (%(default)s)")
    add("--plot", type=Path, metavar="FILE", help="write the curves as SVG")
    return parser


def _numbers(text: str) -> list[int]:
    numbers = [int(word) for word in text.split(",")]
    if min(numbers) < 1:
        raise argparse.ArgumentTypeError("streams are 1 or more")
    return numbers


async def _measure(args: argparse.Namespace) -> tuple[str, list[Level]]:
    async with Client(args.url, os.environ.get("OPENAI_API_KEY", "")) as client:
        model: str = args.model or (await client.models())[0]
        bench = await Bench.prepare(client, model, args)
        with _bar() as bar:
            if args.rate:
                return model, [await bench.at_rate(args.rate, bar)]
            return model, [await bench.with_streams(streams, bar) for streams in args.streams]


class Bench:
    """One address and model under several loads."""

    def __init__(
        self, client: Client, chats: Callable[[int], list[Chat]], args: argparse.Namespace
    ) -> None:
        self._client = client
        self._chats = chats  # so many chats of the wanted length, all new
        self._args = args

    @classmethod
    async def prepare(cls, client: Client, model: str, args: argparse.Namespace) -> Self:
        """Find out how long the server counts our prompts."""
        dice = random.Random(args.seed)
        words = (await measure(client, model, args.timeout_s, dice)).words(args.prompt_tokens)
        options = Options(max_tokens=args.output_tokens, temperature=args.temperature)
        chats = lambda count: [chat(model, words, options, dice) for _ in range(count)]  # noqa: E731
        return cls(client, chats, args)

    async def with_streams(self, streams: int, bar: Progress) -> Level:
        """Always `streams` requests under way."""
        await self._warm_up()
        chats = self._chats(self._args.requests * streams)
        step = _steps(bar, str(streams), len(chats))
        samples = await closed_loop(self._client, chats, streams, self._args.timeout_s, step)
        return level(str(streams), samples)

    async def at_rate(self, rate: float, bar: Progress) -> Level:
        """`rate` new requests a second, whatever is under way."""
        await self._warm_up()
        chats = self._chats(self._args.requests * RATE_FACTOR)
        step = _steps(bar, f"{rate:g}/s", len(chats))
        dice = random.Random(self._args.seed)
        samples = await open_loop(self._client, chats, rate, self._args.timeout_s, step, dice)
        return level(f"{rate:g}/s", samples)

    async def _warm_up(self) -> None:
        chats = self._chats(self._args.warm_up)
        await closed_loop(self._client, chats, len(chats), self._args.timeout_s, lambda: None)


def _steps(bar: Progress, name: str, total: int) -> Callable[[], None]:
    task = bar.add_task(name, total=total)
    return lambda: bar.advance(task)


def _bar() -> Progress:
    return Progress(
        TextColumn("load {task.description:>5}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=Console(stderr=True),
    )


if __name__ == "__main__":
    sys.exit(main())
