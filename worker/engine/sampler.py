"""What the choice of a sequence's next token depends on.

A choice depends on its own logits, settings and history alone: the random number of a token
is a hash of the request's seed and the token's index, so batch, preemption and restarts leave the
text as it is.
"""

import hashlib
import struct
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from worker.engine.request import Constraint, Request, Sampling
from worker.kernels.draw import HIGHEST, Rule


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
