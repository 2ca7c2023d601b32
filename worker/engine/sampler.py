"""Chooses the next tokens of each sequence from its logits, as its constraint allows.

A choice depends on its own logits, settings and history alone: the random number of a token
is a hash of the request's seed and the token's index, so batch, preemption and restarts leave the
text as it is.
"""

import hashlib
import struct
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cloister.errors import CloisterError
from worker.engine.masks import allowed_ids
from worker.engine.request import Constraint, Request, Sampling
from worker.kernels.draw import HIGHEST, Rule, draw


class Draw(Protocol):
    """The token of each row of logits by its own rule; `worker.kernels.draw` says which one."""

    def __call__(self, logits: Tensor, rules: Sequence[Rule]) -> list[int]: ...


@dataclass(frozen=True, slots=True)
class Pick:
    """One sequence's choice: the settings and the tokens so far.

    It has a row of logits, and one more behind each of its `drafts`. The first `min_tokens` tokens
    are none of `stop_ids`. What is chosen, its `constraint` has taken.
    """

    sampling: Sampling
    prompt: Sequence[int] = field(repr=False)
    generated: Sequence[int] = field(repr=False)
    drafts: Sequence[int] = field(default=(), repr=False)
    stop_ids: Collection[int] = ()
    min_tokens: int = 0
    constraint: Constraint | None = None

    @classmethod
    def of(
        cls,
        request: Request,
        generated: Sequence[int],
        drafts: Sequence[int] = (),
        constraint: Constraint | None = None,
    ) -> "Pick":
        """The choice behind what is `generated` so far, which is read where it is needed."""
        return cls(
            request.sampling,
            request.prompt,
            generated,
            drafts,
            request.stop_ids,
            request.min_tokens,
            constraint,
        )

    @property
    def banned(self) -> Collection[int]:
        """What the next token cannot be."""
        return self.stop_ids if len(self.generated) < self.min_tokens else ()

    @property
    def is_plain(self) -> bool:
        """Is it the most probable token that is wanted, whichever it is?"""
        return self.sampling.is_plain and not self.banned

    @property
    def changes_logits(self) -> bool:
        return bool(self.sampling.has_penalties or self.sampling.bias or self.banned)

    @property
    def is_free(self) -> bool:
        """Do its choices depend on nothing but logits and random numbers, with drafts too?"""
        return self.constraint is None and not self.changes_logits

    def rule(self, ahead: int = 0) -> Rule:
        """How the token `ahead` of the next one is drawn."""
        sampling, index = self.sampling, len(self.generated) + ahead
        if sampling.temperature == 0:
            return HIGHEST
        point = uniform(sampling.seed, index)
        return Rule(sampling.temperature, sampling.top_k, sampling.top_p, sampling.min_p, point)


@dataclass(frozen=True, slots=True)
class Choice:
    """New tokens; `is_complete` if their constraint wants no more, `fault` if it cannot go on."""

    ids: list[int] = field(repr=False)
    is_complete: bool = False
    fault: CloisterError | None = None


def choose(logits: Tensor, picks: Sequence[Pick], draw: Draw = draw) -> list[Choice]:
    """Choose tokens for each pick: one, and one more behind each draft that equals the choice.

    All rows are drawn at once; what depends on tokens before it is drawn again where it is known.

    Args:
        logits: float32 [rows, vocabulary], pick by pick

    Raises:
        FloatingPointError: a row holds no finite logit, or a NaN; the model is broken.
    """
    ids, row = draw(logits, [rule for pick in picks for rule in _rules(pick)]), 0
    chosen: list[Choice] = []
    for pick in picks:
        end = row + 1 + len(pick.drafts)
        if pick.is_free:
            chosen.append(Choice(_agreed(ids[row:end], pick.drafts)))
        else:
            chosen.append(_chain(logits, ids, row, pick, draw))
        row = end
    return chosen


def adjust(logits: Tensor, pick: Pick) -> Tensor:
    """Penalties, then the request's biases, then what is banned. [vocabulary] -> [vocabulary]"""
    if not pick.changes_logits:
        return logits
    logits = penalise(logits, pick) if pick.sampling.has_penalties else logits.clone()
    if pick.sampling.bias:
        ids, biases = zip(*pick.sampling.bias, strict=True)
        logits[torch.tensor(ids)] += torch.tensor(biases)
    if banned := [id for id in pick.banned if id < len(logits)]:
        logits[torch.tensor(banned)] = -torch.inf
    return logits


def penalise(logits: Tensor, pick: Pick) -> Tensor:
    """Lower the logits of tokens seen before. [vocabulary] -> [vocabulary]

    Repetition as in CTRL (Keskar et al. 2019), over prompt and generated tokens; presence and
    frequency as OpenAI defines them, over generated tokens.
    """
    sampling = pick.sampling
    if not sampling.has_penalties:
        return logits
    logits = logits.clone()
    if sampling.repetition_penalty != 1:
        seen = torch.tensor(list({*pick.prompt, *pick.generated}))
        old = logits[seen]
        scale = sampling.repetition_penalty
        logits[seen] = torch.where(old > 0, old / scale, old * scale)
    counts = Counter(pick.generated)
    if counts:
        times = torch.tensor(list(counts.values()))
        lowered = sampling.presence_penalty + sampling.frequency_penalty * times
        logits[torch.tensor(list(counts))] -= lowered
    return logits


def uniform(seed: int, index: int) -> float:
    """The random number in [0, 1) of token `index`: 53 bits of a hash, the same on any machine."""
    data = struct.pack("<qq", seed, index)
    digest = hashlib.blake2b(data, digest_size=8, person=b"cloister-sample").digest()
    return float(int.from_bytes(digest, "little") >> 11) / float(1 << 53)


def _rules(pick: Pick) -> list[Rule]:
    """One for each of its rows."""
    count = 1 + len(pick.drafts)
    return [pick.rule(ahead) for ahead in range(count)] if pick.is_free else [HIGHEST] * count


def _agreed(drawn: list[int], drafts: Sequence[int]) -> list[int]:
    """What was drawn, up to the first token that is not its draft."""
    for right, (id, draft) in enumerate(zip(drawn, drafts, strict=False), start=1):
        if id != draft:
            return drawn[:right]
    return drawn


def _chain(logits: Tensor, drawn: Sequence[int], row: int, pick: Pick, draw: Draw) -> Choice:
    """Choose from row to row, each as if alone, until a draft is not what was chosen."""
    ids: list[int] = []
    try:
        for at, draft in enumerate((*pick.drafts, None), start=row):
            one = replace(pick, generated=[*pick.generated, *ids]) if ids else pick
            ids.append(_choose_row(logits, at, drawn[at], one, draw))
            if pick.constraint is not None and pick.constraint.complete:
                return Choice(ids, is_complete=True)
            if ids[-1] != draft:
                break
    except CloisterError as fault:
        return Choice(ids, fault=fault)
    return Choice(ids)


def _choose_row(logits: Tensor, row: int, drawn: int, pick: Pick, draw: Draw) -> int:
    """One choice; `drawn` is the row's own, or its most probable token where `pick` is not free."""
    constraint = pick.constraint
    if pick.is_free or (pick.is_plain and constraint is not None and constraint.take(drawn)):
        return drawn  # nearly always allowed, so that no mask has to be made
    adjusted = adjust(logits[row], pick)
    if constraint is None:
        return _draw_one(adjusted, pick, draw)
    id = _draw_allowed(adjusted, allowed_ids(constraint, len(adjusted)), pick, draw)
    taken = constraint.take(id)
    assert taken, "a mask allows what the constraint takes"
    return id


def _draw_allowed(logits: Tensor, ids: NDArray[np.int64], pick: Pick, draw: Draw) -> int:
    values = logits.numpy()  # quicker than tensors where few are touched
    if pick.sampling.temperature == 0:
        return int(ids[values[ids].argmax()])
    left = np.full_like(values, -np.inf)
    left[ids] = values[ids]
    return _draw_one(torch.from_numpy(left), pick, draw)


def _draw_one(logits: Tensor, pick: Pick, draw: Draw) -> int:
    return draw(logits.unsqueeze(0), [pick.rule()])[0]
