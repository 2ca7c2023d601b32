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

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cloister.errors import CloisterError
from worker.engine.masks import allowed_ids
from worker.engine.request import Constraint, Request, Sampling

LIKELY = 1024  # candidates looked at first: a partial sort of a large vocabulary is much cheaper


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
        tokens: Sequence[int],
        drafts: Sequence[int] = (),
        constraint: Constraint | None = None,
    ) -> "Pick":
        """The choice behind `tokens`, which begin with the prompt."""
        return cls(
            request.sampling,
            request.prompt,
            tokens[len(request.prompt) :],
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


@dataclass(frozen=True, slots=True)
class Choice:
    """New tokens; `is_complete` if their constraint wants no more, `fault` if it cannot go on."""

    ids: list[int] = field(repr=False)
    is_complete: bool = False
    fault: CloisterError | None = None


def choose(logits: Tensor, picks: Sequence[Pick]) -> list[Choice]:
    """Choose tokens for each pick: one, and one more behind each draft that equals the choice.

    Args:
        logits: float32 [rows, vocabulary], pick by pick

    Raises:
        FloatingPointError: a row holds no finite logit, or a NaN; the model is broken.
    """
    highest, greedy = logits.max(dim=-1)
    if not bool(torch.isfinite(highest).all()):
        raise FloatingPointError("the model's logits are not finite")
    ids, row = greedy.tolist(), 0
    chosen: list[Choice] = []
    for pick in picks:
        chosen.append(_chain(logits, ids, row, pick))
        row += 1 + len(pick.drafts)
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


def candidates(logits: Tensor, sampling: Sampling) -> tuple[Tensor, Tensor]:
    """The tokens that may be chosen, most probable first, and their probabilities.

    Temperature, then top-k, then top-p (nucleus, Holtzman et al. 2019), then min-p (Nguyen et al.
    2024), each on the distribution that the one before left.

    Args:
        logits: float32 [vocabulary]

    Returns:
        ids int64 [n] and probabilities float64 [n], n >= 1, that sum to 1.
    """
    scaled = (logits - logits.max()).double() / sampling.temperature  # 0 at the top, never inf
    count = min(sampling.top_k or len(scaled), len(scaled))
    values, ids = _largest(scaled, count, sampling)
    weights = (values - values[0]).exp()
    if sampling.top_p < 1:
        total = weights.sum() if sampling.top_k else (scaled - values[0]).exp().sum()
        before = weights.cumsum(0) - weights
        weights = weights[before < sampling.top_p * total]
    if sampling.min_p > 0:
        weights = weights[weights >= sampling.min_p * weights[0]]
    return ids[: len(weights)], weights / weights.sum()


def uniform(seed: int, index: int) -> float:
    """The random number in [0, 1) of token `index`: 53 bits of a hash, the same on any machine."""
    data = struct.pack("<qq", seed, index)
    digest = hashlib.blake2b(data, digest_size=8, person=b"cloister-sample").digest()
    return float(int.from_bytes(digest, "little") >> 11) / float(1 << 53)


def _chain(logits: Tensor, greedy: Sequence[int], row: int, pick: Pick) -> Choice:
    """Choose from row to row, each as if alone, until a draft is not what was chosen."""
    ids: list[int] = []
    try:
        for at, draft in enumerate((*pick.drafts, None), start=row):
            one = replace(pick, generated=[*pick.generated, *ids]) if ids else pick
            ids.append(_choose_row(logits, at, greedy[at], one))
            if pick.constraint is not None and pick.constraint.complete:
                return Choice(ids, is_complete=True)
            if ids[-1] != draft:
                break
    except CloisterError as fault:
        return Choice(ids, fault=fault)
    return Choice(ids)


def _choose_row(logits: Tensor, row: int, highest: int, pick: Pick) -> int:
    """One choice; `highest` is the most probable token of the row."""
    constraint = pick.constraint
    if pick.is_plain and (constraint is None or constraint.take(highest)):
        return highest  # nearly always allowed, so that no mask has to be made
    adjusted = adjust(logits[row], pick)
    if constraint is None:
        return _draw(adjusted, pick)
    id = _draw_allowed(adjusted, allowed_ids(constraint, len(adjusted)), pick)
    taken = constraint.take(id)
    assert taken, "a mask allows what the constraint takes"
    return id


def _draw_allowed(logits: Tensor, ids: NDArray[np.int64], pick: Pick) -> int:
    values = logits.numpy()  # quicker than tensors where few are touched
    if pick.sampling.temperature == 0:
        return int(ids[values[ids].argmax()])
    left = np.full_like(values, -np.inf)
    left[ids] = values[ids]
    return _draw(torch.from_numpy(left), pick)


def _draw(logits: Tensor, pick: Pick) -> int:
    if pick.sampling.temperature == 0:
        return int(logits.argmax())
    ids, probabilities = candidates(logits, pick.sampling)
    point = uniform(pick.sampling.seed, len(pick.generated))
    place = int(torch.searchsorted(probabilities.cumsum(0), point, right=True))
    if place == len(ids):  # rounding; the last ones may be banned
        place = int(probabilities.count_nonzero()) - 1
    return int(ids[place])


def _largest(scaled: Tensor, count: int, sampling: Sampling) -> tuple[Tensor, Tensor]:
    """The `count` largest values in falling order, or fewer when top-p surely drops the rest."""
    if sampling.top_k == 0 and sampling.top_p < 1 and count > LIKELY:
        values, ids = scaled.topk(LIKELY)
        total = (scaled - values[0]).exp().sum()
        if (values - values[0]).exp().sum() >= sampling.top_p * total:
            return values, ids
    if count > LIKELY:
        values, ids = scaled.sort(descending=True, stable=True)
        return values[:count], ids[:count]
    return scaled.topk(count)
