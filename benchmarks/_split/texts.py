"""What int8 weights and blinding change of what a model says: texts side by side, and figures.

Perplexity and agreement are of the answers in fresh conversations of novice's own kind, which it
was not trained on: its corpus is made by seed, and training takes another one.
"""

import math
import random
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import torch
from rich.table import Table
from tokenizers import Tokenizer as Encoder
from torch import Tensor

from benchmarks._split.columns import Column, Name, Setup
from benchmarks._split.ledger import Watch
from benchmarks._split.measure import write
from benchmarks._split.openers import opened
from worker.api.tokenizer import Tokenizer
from worker.engine.request import Sampling
from worker.model.source import find_model
from worker.novice.batches import Row, to_row
from worker.novice.chat import load_template, render, user
from worker.novice.corpus.mix import conversations
from worker.novice.template import TEMPLATE

TEE: Name = "c-tee"
QUESTIONS = (
    "What is Cloister?",
    "What is 27 + 48?",
    "Spell garden",
    "Tell me a short story about a fox",
)
SEED = 20_261_121


@dataclass(frozen=True)
class Beside:
    """One column's answers beside those of the TEE alone, token by token of the true text."""

    column: str
    tokens: int
    perplexity: float
    tee_perplexity: float
    agreement: float  # share of places with the same most likely token


def compare(names: Sequence[Name], setup: Setup, path: Path | None, tokens: int) -> Table:
    """Greedy answers to each line of a file, column by column."""
    folder = find_model(setup.source.model)
    tokenizer, template = Tokenizer.load(folder), load_template(TEMPLATE)
    asked = path.read_text(encoding="utf-8").splitlines() if path else QUESTIONS
    shown = Table("prompt", *names, show_lines=True)
    with ExitStack() as stack:
        columns = [stack.enter_context(opened(name, setup, Watch())) for name in names]
        for question in asked:
            text = render(template, (user(question),), (), ask=True)
            prompt = tokenizer.encode(text, add_special_tokens=False)
            shown.add_row(question, *(_answer(each, prompt, tokens, tokenizer) for each in columns))
    return shown


def accuracy(names: Sequence[Name], setup: Setup, tokens: int) -> list[Beside]:
    """Score each of our columns on about so many answer tokens."""
    texts = list(_texts(setup, tokens))
    with ExitStack() as stack:
        columns = {
            name: stack.enter_context(opened(name, setup, Watch())) for name in (TEE, *names)
        }
        scores = {name: _score(column, texts) for name, column in columns.items()}
    return [_beside(name, scores[name], scores[TEE]) for name in names]


def table(rows: Sequence[Beside]) -> Table:
    shown = Table("column", "tokens", "perplexity", "in the TEE", "same most likely token")
    for row in rows:
        perplexities = f"{row.perplexity:.4f}", f"{row.tee_perplexity:.4f}"
        shown.add_row(row.column, str(row.tokens), *perplexities, f"{row.agreement:.2%}")
    return shown


def _answer(column: Column, prompt: Sequence[int], tokens: int, tokenizer: Tokenizer) -> str:
    [ids] = write(column, [prompt], tokens, Sampling(temperature=0))
    ends = [place for place, token in enumerate(ids) if token in tokenizer.end_ids]
    return tokenizer.decode(ids[: ends[0]] if ends else ids)


def _texts(setup: Setup, tokens: int) -> Iterator[Row]:
    """Fresh conversations that fit in the cache, until their answers have so many tokens."""
    tokenizer = Encoder.from_file(str(find_model(setup.source.model) / "tokenizer.json"))
    template = load_template(TEMPLATE)
    for talk in conversations(random.Random(SEED)):
        row = to_row(render(template, talk.messages, talk.tools, ask=False), tokenizer)
        if len(row.tokens) > setup.tokens:
            continue
        yield row
        tokens -= len(row.where)
        if tokens <= 0:
            return


def _score(column: Column, texts: Sequence[Row]) -> Tensor:
    """float [answer tokens, 2]: the true token's log probability, and the most likely token."""
    found = []
    for row in texts:
        column.ready(len(row.tokens))
        logits = column.score(row.tokens)[row.where]  # [answer tokens, vocabulary]
        true = torch.tensor(row.tokens)[torch.tensor(row.where) + 1]
        likely = logits.log_softmax(1).gather(1, true[:, None])
        found.append(torch.cat((likely, logits.argmax(1, keepdim=True)), 1))
    return torch.cat(found)


def _beside(name: str, found: Tensor, tee: Tensor) -> Beside:
    perplexity, tee_perplexity = (math.exp(-float(each[:, 0].mean())) for each in (found, tee))
    agreement = float((found[:, 1] == tee[:, 1]).float().mean())
    return Beside(name, len(found), perplexity, tee_perplexity, agreement)
