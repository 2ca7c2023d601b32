"""Turns conversations into batches of rows of like length; the assistant's turns have a loss."""

import random
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch
from tokenizers import Tokenizer
from torch import Tensor

from worker.novice.tokenizer import END_OF_TEXT, TURN_END, TURN_START, token_id

LENGTH_STEP = 16
ANSWER = re.compile(f"(?<={re.escape(TURN_START)}assistant\n)(.*?{re.escape(TURN_END)})", re.DOTALL)


@dataclass(frozen=True)
class Row:
    """One conversation's tokens, and the positions whose next token is the assistant's."""

    tokens: list[int]
    where: list[int]


@dataclass(frozen=True)
class Batch:
    """Padded tokens [rows, time], flat positions with a loss [wanted], their targets [wanted]."""

    tokens: Tensor
    where: Tensor
    targets: Tensor


def to_row(text: str, tokenizer: Tokenizer) -> Row:
    """Tokenise a rendered conversation, cut where serving cuts it: before each answer."""
    tokens: list[int] = []
    where: list[int] = []
    for index, part in enumerate(ANSWER.split(text)):
        ids = tokenizer.encode(part, add_special_tokens=False).ids
        if index % 2:
            where.extend(range(len(tokens) - 1, len(tokens) + len(ids) - 1))
        tokens.extend(ids)
    return Row(tokens, where)


def batches(
    rows: Iterable[Row], rng: random.Random, *, size: int, positions: int, pool: int, pad: int
) -> Iterator[Batch]:
    """Yield batches of about `size` tokens: sort a pool by length, cut it, shuffle the cuts."""
    waiting: list[Row] = []
    for row in rows:
        if len(row.tokens) <= positions:
            waiting.append(row)
        if len(waiting) >= pool:
            cuts, waiting = _cuts(waiting, size)
            rng.shuffle(cuts)
            yield from (to_batch(cut, pad) for cut in cuts)


def to_batch(rows: list[Row], pad: int) -> Batch:
    """Pad rows at the right; causal attention never looks there."""
    time = _stepped(max(len(row.tokens) for row in rows))
    padded = [row.tokens + [pad] * (time - len(row.tokens)) for row in rows]
    tokens = torch.tensor(padded)
    where = torch.tensor([time * i + at for i, row in enumerate(rows) for at in row.where])
    return Batch(tokens, where, tokens.flatten()[where + 1])


def pad_token(tokenizer: Tokenizer) -> int:
    """Return the id that fills up rows."""
    return token_id(tokenizer, END_OF_TEXT)


def _cuts(rows: list[Row], size: int) -> tuple[list[list[Row]], list[Row]]:
    """Cut rows, longest first, into full groups; what is left over waits for the next pool."""
    ordered = sorted(rows, key=lambda row: -len(row.tokens))
    cuts: list[list[Row]] = []
    start = 0
    while start < len(ordered):
        count = max(1, size // _stepped(len(ordered[start].tokens)))
        cuts.append(ordered[start : start + count])
        start += count
    return cuts[:-1], cuts[-1]


def _stepped(length: int) -> int:
    """Round a length up: few different shapes keep the matrix library's caches small."""
    return -(-length // LENGTH_STEP) * LENGTH_STEP
