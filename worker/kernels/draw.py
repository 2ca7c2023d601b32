"""Which token follows from logits and a random number: the definition, in PyTorch.

Weights are integers, exp(gap / temperature) in units of 2^-42, where the gap is how far a logit is
below the highest one. So their sums are exact in any order, and the compiled kernel, which does not
sort, chooses the very same tokens. Tokens stand in order of gaps, equal ones by id.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

UNIT_BITS = 42
MOST_WORDS = 1 << 20  # may all weigh as much as the highest
LEAST = -64.0  # exponents below this have no weight anyway
LOG2_E = 1.4426950408889634
LN_2 = (0.6931471803691238, 1.9082149292705877e-10)  # the first part times small integers is exact
TERMS = tuple(1 / math.factorial(power) for power in range(11, -1, -1))
POINT_BITS = 53
NOTHING = -2
"""In place of an id, where a mask leaves none to draw."""

Masks = Sequence[bytes | None]
"""By row, what may be drawn: a bit an id, lowest first; None where everything may."""


class Rule(NamedTuple):
    """How one row's token is drawn: temperature, then top-k, then top-p (nucleus, Holtzman et al.
    2019), then min-p (Nguyen et al. 2024), each on the distribution that the one before left.

    Temperature 0 takes the highest logit. `top_k` 0, `top_p` 1 and `min_p` 0 are off. `point` is a
    random number in [0, 1) of 53 bits.
    """

    temperature: float = 0.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    point: float = 0.0


HIGHEST = Rule()


def draw(logits: Tensor, rules: Sequence[Rule], masks: Masks = ()) -> list[int]:
    """The token of each row of `logits` float32 [rows, vocabulary]; `NOTHING` where none may be.

    What a mask forbids counts as minus infinity. There is one for each row, or none at all.

    Raises:
        FloatingPointError: a row holds no finite logit, or a NaN or +inf; the model is broken.
        ValueError: a mask is shorter than the vocabulary.
    """
    check_masks(masks, logits)
    allowed = [_unpack(mask, logits.shape[1]) for mask in masks]
    if any(mask is not None for mask in masks):
        logits = torch.where(torch.stack(allowed) | logits.isnan(), logits, -torch.inf)
    highest, greedy = logits.max(dim=-1)
    ids: list[int] = greedy.tolist()
    for row, (rule, most) in enumerate(zip(rules, highest.tolist(), strict=True)):
        if most == -math.inf and allowed and not bool(allowed[row].any()):
            ids[row] = NOTHING
        elif not math.isfinite(most):
            raise not_finite()
        elif rule.temperature > 0:
            ids[row] = _draw_one(logits[row], rule)
    return ids


def check_masks(masks: Masks, logits: Tensor) -> None:
    """Raises `ValueError` where one is too short, or they are too few."""
    if masks and len(masks) != len(logits):
        raise ValueError(f"{len(masks)} masks for {len(logits)} rows")
    size = logits.shape[1]
    for mask in masks:
        if mask is not None and len(mask) * 8 < size:
            raise ValueError(f"{len(mask)} bytes are too few for {size} tokens")


def not_finite() -> FloatingPointError:
    return FloatingPointError("the model's logits are not finite")


def candidates(logits: Tensor, rule: Rule) -> tuple[Tensor, Tensor]:
    """The tokens that may be drawn, in order, and their weights, both int64 [n], n >= 1."""
    gaps, ids = (logits.max() - logits).sort(stable=True)
    if rule.top_k:
        gaps, ids = gaps[: rule.top_k], ids[: rule.top_k]
    weights = weigh(gaps, rule.temperature)
    kept = weights >= max(1, math.ceil(rule.min_p * (1 << UNIT_BITS)))
    if rule.top_p < 1:
        ends = weights.cumsum(0)
        kept &= ends - weights < max(1, math.ceil(rule.top_p * int(ends[-1])))
    return ids[kept], weights[kept]


def weigh(gaps: Tensor, temperature: float) -> Tensor:
    """exp(-gaps / temperature) in units of 2^-42, int64; by plain operations, so the same anywhere.

    A Taylor polynomial of degree 11 on |x| <= ln 2 / 2, right to 2^-47.
    """
    x = (-gaps.double() / temperature).clamp(min=LEAST)
    powers = (x * LOG2_E).round()
    x = x - powers * LN_2[0] - powers * LN_2[1]
    result = torch.full_like(x, TERMS[0])
    for term in TERMS[1:]:
        result = result * x + term
    scale = (powers.long() + (UNIT_BITS + 1023) << 52).view(torch.float64)  # 2^(powers + 42)
    return (result * scale).round().long()


def _draw_one(logits: Tensor, rule: Rule) -> int:
    ids, weights = candidates(logits, rule)
    ends = weights.cumsum(0)
    place = int(rule.point * (1 << POINT_BITS)) * int(ends[-1]) >> POINT_BITS
    return int(ids[torch.searchsorted(ends, place, right=True)])


def _unpack(mask: bytes | None, size: int) -> Tensor:
    """Which of `size` tokens a mask allows, bool [size]."""
    if mask is None:
        return torch.ones(size, dtype=torch.bool)
    bits = np.unpackbits(np.frombuffer(mask, np.uint8), count=size, bitorder="little")
    return torch.from_numpy(bits.view(np.bool_))
