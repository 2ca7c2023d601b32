"""What a config says about rotary positions, in both spellings. No tensors here; see `rope.py`.

Old files have `rope_theta` and `rope_scaling`, files of transformers 5 `rope_parameters`.
"""

import math
from dataclasses import dataclass
from typing import Literal, get_args

from cloister.errors import BadModel
from worker.model.fields import Fields

RopeKind = Literal["default", "linear", "llama3", "yarn"]


@dataclass(frozen=True, slots=True)
class RopeConfig:
    """Rotary positions (Su et al. 2021) and how they stretch beyond the trained context.

    `linear` divides positions by `factor` (Chen et al. 2023). `llama3` divides slow frequencies
    only, between `slow` and `fast` turns per `original_context` smoothly. `yarn` (Peng et al. 2023)
    does so by dimension, and scales cos and sin by `magnitude`.
    """

    kind: RopeKind = "default"
    theta: float = 10000.0
    factor: float = 1.0
    original_context: int = 0
    slow: float = 1.0
    fast: float = 1.0
    magnitude: float = 1.0
    whole_dimensions: bool = True  # yarn: the ramp's ends are rounded outwards

    @property
    def stretched_context(self) -> int:
        """Positions that the stretching was made for; 0 where the config's own limit holds."""
        return int(self.original_context * self.factor) if self.kind == "yarn" else 0


def rope_config(fields: Fields) -> RopeConfig:
    """Read the rope of a config. Kinds that we do not compute are refused by name."""
    new = fields.get("rope_parameters") is not None
    rope = fields.within("rope_parameters" if new else "rope_scaling")
    _refuse_partial(fields, rope)
    theta = rope.number("rope_theta", fields.number("rope_theta", 10000.0))
    kind = rope.get("rope_type") or rope.get("type") or "default"
    original = rope.get("original_max_position_embeddings") or fields.get("max_position_embeddings")
    if kind == "default":
        return RopeConfig(theta=theta)
    if kind == "linear":
        return RopeConfig("linear", theta, rope.number("factor"))
    if kind == "llama3":
        return _llama3(rope, theta, original)
    if kind == "yarn":
        return _yarn(rope, theta, original)
    known = ", ".join(get_args(RopeKind))
    raise BadModel(f"{fields.path}: rope type {kind!r} is not supported; known are {known}")


def _refuse_partial(fields: Fields, rope: Fields) -> None:
    nested = [name for name, value in rope.values.items() if isinstance(value, dict)]
    if nested:
        raise BadModel(f"{fields.path}: rope_parameters per layer type ({nested[0]}) not supported")
    for place in (fields, rope):
        if place.number("partial_rotary_factor", 1.0) != 1:
            raise place.bad("partial_rotary_factor", "1")


def _llama3(rope: Fields, theta: float, original: int) -> RopeConfig:
    slow, fast = rope.number("low_freq_factor"), rope.number("high_freq_factor")
    if fast <= slow:
        raise rope.bad("high_freq_factor", f"more than low_freq_factor, {slow},")
    return RopeConfig("llama3", theta, rope.number("factor"), original, slow, fast)


def _yarn(rope: Fields, theta: float, original: int) -> RopeConfig:
    for name in ("mscale", "mscale_all_dim"):
        if rope.get(name):
            raise rope.bad(name, "nothing (yarn without it)")
    factor = rope.number("factor")
    magnitude = rope.number("attention_factor", 0.1 * math.log(factor) + 1 if factor > 1 else 1.0)
    slow, fast = rope.number("beta_slow", 1.0), rope.number("beta_fast", 32.0)
    whole = rope.flag("truncate", default=True)
    return RopeConfig("yarn", theta, factor, original, slow, fast, magnitude, whole)
