"""Train novice from nothing: corpus, tokenizer, network, files. Same settings, same bits.

python -m worker.novice.train --out DIR
"""

import argparse
import hashlib
import json
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field, replace
from itertools import islice
from pathlib import Path
from random import Random
from typing import Protocol

import torch
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from tokenizers import Tokenizer
from torch import Tensor
from torch.nn import functional

from worker.novice.batches import Batch, Row, batches, pad_token, to_row
from worker.novice.chat import Conversation, load_template, render
from worker.novice.corpus import conversations, lessons
from worker.novice.echoes import FIRST, with_echoes
from worker.novice.export import load_weights, save_model
from worker.novice.network import Network
from worker.novice.schedule import Optimizer, Schedule, Settings
from worker.novice.template import TEMPLATE
from worker.novice.tokenizer import train_tokenizer

NOTE = "{task.fields[note]}"


@dataclass
class Progressed:
    """What training leaves behind besides weights."""

    steps: int = 0
    hashes: dict[int, str] = field(default_factory=dict)
    loss: float = 0.0
    tokens: int = 0
    seconds: float = 0.0

    @property
    def speed(self) -> float:
        """Return the tokens per second so far."""
        return self.tokens / max(self.seconds, 1e-3)


class Watch(Protocol):
    """Looks on after each step: shows, saves, does not touch."""

    def __call__(self, network: Network, tokenizer: Tokenizer, record: Progressed) -> None:
        """Look at the state after a step."""


def train(
    settings: Settings, watch: Watch, schedule: Schedule | None = None
) -> tuple[Network, Tokenizer, Progressed]:
    """Train from nothing, or on from a model; returns network, tokenizer and record."""
    schedule = schedule or Schedule(settings)
    torch.set_num_threads(settings.threads)
    torch.use_deterministic_algorithms(True)
    torch.manual_seed(settings.seed)
    network, tokenizer = _beginning(settings)
    stream = batches(
        rows(tokenizer, settings),
        Random(settings.seed),
        size=settings.batch_tokens,
        positions=settings.shape.positions,
        pool=settings.pool,
        pad=pad_token(tokenizer),
    )
    record = Progressed()
    for _ in _fit(network, stream, settings, schedule, record):
        watch(network, tokenizer, record)
    return network, tokenizer, record


def texts(seed: int) -> Iterator[str]:
    """Yield the corpus as rendered conversations, without end."""
    return _rendered(lessons(Random(seed)))


def rows(tokenizer: Tokenizer, settings: Settings) -> Iterator[Row]:
    """Yield what the network reads, without end.

    Echoes and drills first, then the corpus as token rows; what goes on has had its drills.
    """
    seed, first = settings.seed, 0 if settings.start else FIRST
    goes_on = conversations(Random(seed), settings.drill)
    told = _rendered(goes_on) if settings.start else texts(seed)
    talk = (to_row(text, tokenizer) for text in told)
    return with_echoes(talk, Random(seed), tokenizer.get_vocab_size(), first=first)


def weights_hash(network: Network) -> str:
    """Return the sha256 of all weights, bit for bit."""
    digest = hashlib.sha256()
    for name, weight in sorted(network.state_dict().items()):
        digest.update(name.encode() + weight.contiguous().numpy().tobytes())
    return digest.hexdigest()


def _beginning(settings: Settings) -> tuple[Network, Tokenizer]:
    network = Network(settings.shape)
    if settings.start:
        folder = Path(settings.start)
        load_weights(network, folder)
        return network, Tokenizer.from_file(str(folder / "tokenizer.json"))
    sample = islice(_rendered(conversations(Random(settings.seed))), settings.tokenizer_texts)
    return network, train_tokenizer(sample, settings.shape.vocabulary)


def _rendered(conversations: Iterable[Conversation]) -> Iterator[str]:
    template = load_template(TEMPLATE)
    for conversation in conversations:
        yield render(template, conversation.messages, conversation.tools, ask=False)


def _fit(
    network: Network,
    stream: Iterator[Batch],
    settings: Settings,
    schedule: Schedule,
    record: Progressed,
) -> Iterator[None]:
    """Train step by step into `record`; yield after each step."""
    began, optimizer = time.monotonic(), Optimizer(network, settings)
    forward = torch.compile(network, dynamic=True) if settings.compiled else network
    while record.steps < schedule.last:
        batch = next(stream)
        loss = _learn(forward, batch)
        record.steps += 1
        optimizer.step(schedule.rate(record.steps, time.monotonic() - began))
        record.loss += (loss - record.loss) * max(0.01, 1 / record.steps)
        record.tokens += batch.tokens.numel()
        record.seconds = time.monotonic() - began
        if record.steps % settings.hash_every == 0 or record.steps == schedule.last:
            record.hashes[record.steps] = weights_hash(network)
        yield


def _learn(forward: Callable[[Tensor, Tensor], Tensor], batch: Batch) -> float:
    with torch.autocast("cpu", torch.bfloat16):
        logits = forward(batch.tokens, batch.where)
    loss = functional.cross_entropy(logits.float(), batch.targets)
    loss.backward()  # type: ignore[no-untyped-call]
    return float(loss.detach())


def _save(folder: Path, settings: Settings, network: Network, record: Progressed) -> None:
    told = {
        "settings": asdict(settings),
        "parameters": sum(each.numel() for each in network.parameters()),
        "tokens": record.tokens,
        "final_loss": round(record.loss, 6),
        "weights_sha256": record.hashes,
    }
    (folder / "training.json").write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Train novice.")
    parser.add_argument("--out", type=Path, required=True, help="folder for the model's files")
    parser.add_argument("--start", type=Path, help="model folder to go on from; else from nothing")
    parser.add_argument("--steps", type=int, default=Settings.steps)
    parser.add_argument("--minutes", type=float, help="time budget, instead of a number of steps")
    parser.add_argument("--until", type=int, help="break off here, to compare hashes of a rerun")
    parser.add_argument("--seed", type=int, default=Settings.seed)
    parser.add_argument("--threads", type=int, default=Settings.threads)
    parser.add_argument("--drill", default="", help="with --start: a skill to practise more")
    parser.add_argument("--rates", type=float, default=1.0, help="share of the learning rates")
    return parser.parse_args()


def main() -> None:
    """Train as the command line asks and write the model folder."""
    given = _arguments()
    start = str(given.start) if given.start else ""
    settings = Settings(
        start=start,
        seed=given.seed,
        steps=given.steps,
        threads=given.threads,
        drill=given.drill,
        matrix_rate=Settings.matrix_rate * given.rates,
        rate=Settings.rate * given.rates,
    )
    budget_s = None if given.minutes is None else 60 * given.minutes
    schedule = Schedule(settings, budget_s, given.until)
    columns = (BarColumn(), TextColumn(NOTE), TimeRemainingColumn(elapsed_when_finished=True))
    with Progress(*columns) as progress:
        task = progress.add_task("train", note="")

        def watch(network: Network, tokenizer: Tokenizer, record: Progressed) -> None:
            note = f"step {record.steps}, loss {record.loss:.3f}, {record.speed:,.0f} tokens/s"
            progress.update(task, completed=record.steps, total=schedule.last, note=note)
            if record.steps in record.hashes:
                save_model(network, tokenizer, given.out)
                _save(given.out, replace(settings, steps=schedule.steps), network, record)

        train(settings, watch, schedule)


if __name__ == "__main__":
    main()
