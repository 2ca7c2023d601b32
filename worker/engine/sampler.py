"""Chooses the next tokens of each sequence from its logits, as its constraint allows.

A choice depends on its own logits, settings and history alone: the random number of a token
is a hash of the request's seed and the token's index, so batch, preemption and restarts leave the
text as it is.
"""

import hashlib
import struct
from collections import Counter
from collections.abc import Collection, Generator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Protocol

import torch
from torch import Tensor

from cloister.errors import CloisterError, InternalError
from worker.engine.request import Constraint, Request, Sampling
from worker.kernels.draw import HIGHEST, NOTHING, Masks, Rule, draw


class Draw(Protocol):
    """The token of each row of logits by its own rule; `worker.kernels.draw` says which one."""

    def __call__(self, logits: Tensor, rules: Sequence[Rule], masks: Masks = ()) -> list[int]: ...


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

    @property
    def is_free(self) -> bool:
        """Do its choices depend on nothing but logits and random numbers, with drafts too?"""
        return self.constraint is None and not self.changes_logits

    @property
    def needs_mask(self) -> bool:
        """Is it likely that its constraint does not take the most probable token?"""
        if self.constraint is None:
            return False
        return self.constraint.doubtful or not self.sampling.is_plain

    def rule(self, ahead: int = 0) -> Rule:
        """How the token `ahead` of the next one is drawn."""
        sampling, index = self.sampling, len(self.generated) + ahead
        if sampling.temperature == 0:
            return HIGHEST
        point = uniform(sampling.seed, index)
        return Rule(sampling.temperature, sampling.top_k, sampling.top_p, sampling.min_p, point)


@dataclass(slots=True)
class Choice:
    """New tokens; `is_complete` if their constraint wants no more, `fault` if it cannot go on."""

    ids: list[int] = field(default_factory=list, repr=False)
    is_complete: bool = False
    fault: CloisterError | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """Logits [vocabulary] to draw from; `mask` tells what may be drawn, None for everything."""

    logits: Tensor = field(repr=False)
    rule: Rule
    mask: bytes | None = field(repr=False)


def choose(logits: Tensor, picks: Sequence[Pick], draw: Draw = draw) -> list[Choice]:
    """Choose tokens for each pick: one, and one more behind each draft that equals the choice.

    All rows are drawn at once; then, together, the first row of each pick that depends on tokens
    before it, the second, and so on.

    Args:
        logits: float32 [rows, vocabulary], pick by pick

    Raises:
        FloatingPointError: a row holds no finite logit, or a NaN; the model is broken.
    """
    masks = [_known_mask(pick) for pick in picks]
    drawn, start = draw(logits, *_as_they_come(picks, masks)), 0
    choices = [Choice() for _ in picks]
    asked: list[tuple[Chain, Row]] = []
    for pick, mask, choice in zip(picks, masks, choices, strict=True):
        chain = _chain(pick, logits, drawn, start, choice, is_masked=mask is not None)
        asked += _going(chain, None)
        start += 1 + len(pick.drafts)
    while asked:
        rows = [row for _, row in asked]
        again = draw(_stack(rows), [row.rule for row in rows], [row.mask for row in rows])
        answered = zip(asked, again, strict=True)
        asked = [one for (chain, _), id in answered for one in _going(chain, id)]
    return choices


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


def _known_mask(pick: Pick) -> bytes | None:
    """What may come next, where that is asked at once: where a choice without it is in doubt."""
    if not pick.needs_mask or pick.changes_logits:
        return None
    assert pick.constraint is not None
    with suppress(CloisterError):  # raised again in the chain
        return pick.constraint.allowed()
    return None


def _as_they_come(picks: Sequence[Pick], masks: Masks) -> tuple[list[Rule], Masks]:
    """Rules and masks of all rows, before anything is known of the tokens behind the first."""
    rules: list[Rule] = []
    for pick, mask in zip(picks, masks, strict=True):
        count = 1 + len(pick.drafts)
        if pick.is_free:
            rules += [pick.rule(ahead) for ahead in range(count)]
        else:
            rules += [HIGHEST if mask is None else pick.rule(), *[HIGHEST] * (count - 1)]
    if all(mask is None for mask in masks):
        return rules, ()
    rest = ((mask, *[None] * len(pick.drafts)) for pick, mask in zip(picks, masks, strict=True))
    return rules, [mask for row in rest for mask in row]


Chain = Generator[Row, int, None]


def _chain(
    pick: Pick, logits: Tensor, drawn: list[int], start: int, choice: Choice, *, is_masked: bool
) -> Chain:
    """Fills a pick's choice, whose rows begin at `start`; the first one may be drawn under a mask.

    It asks for a row where `drawn`, each row's own token, is no answer: where the pick is not free,
    that is the most probable one.
    """
    constraint, ids = pick.constraint, choice.ids
    try:
        for row, draft in enumerate((*pick.drafts, None), start):
            now = replace(pick, generated=[*pick.generated, *ids]) if ids else pick
            id = drawn[row]
            if is_masked and row == start:
                _follow(constraint, id)
            elif not _takes(now, id):
                id = yield Row(adjust(logits[row], now), now.rule(), _mask(constraint))
                _follow(constraint, id)
            ids.append(id)
            if constraint is not None and constraint.complete:
                choice.is_complete = True
                return
            if id != draft:
                return
    except CloisterError as fault:
        choice.fault = fault


def _takes(pick: Pick, drawn: int) -> bool:
    """Is the row's own token the choice? Mostly so, and trying is much cheaper than a mask."""
    constraint = pick.constraint
    return pick.is_free or (constraint is not None and pick.is_plain and constraint.take(drawn))


def _follow(constraint: Constraint | None, id: int) -> None:
    """Have a constraint take what its mask allowed."""
    if id == NOTHING:
        raise InternalError("the grammar leaves no token to choose")
    taken = constraint is None or constraint.take(id)
    assert taken, "a mask allows what the constraint takes"


def _mask(constraint: Constraint | None) -> bytes | None:
    return None if constraint is None else constraint.allowed()


def _going(chain: Chain, id: int | None) -> list[tuple[Chain, Row]]:
    """The chain with the row it asks for next, or nothing where it has ended."""
    try:
        return [(chain, next(chain) if id is None else chain.send(id))]
    except StopIteration:
        return []


def _stack(rows: Sequence[Row]) -> Tensor:
    if len(rows) == 1:
        return rows[0].logits.unsqueeze(0)
    return torch.stack([row.logits for row in rows])
