"""Rotary positions: frequencies once per model, angles once per step, one rotation per layer."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from worker.model.rope_config import RopeConfig


@dataclass(frozen=True, slots=True)
class Rotation:
    """cos and sin of a step's positions, for the two halves of each head.

    Both `[rows, 1, 2, head_dim / 2]`; sin is negated in the first half.
    """

    cos: Tensor
    sin: Tensor

    def apply_(self, heads: Tensor) -> None:
        """Turn `[rows, heads, head_dim]` in place: (a, b) to (a cos - b sin, b cos + a sin)."""
        rows, count, head_dim = heads.shape
        halves = heads.view(rows, count, 2, head_dim // 2)
        swapped = halves.flip(-2)
        halves.mul_(self.cos).addcmul_(swapped, self.sin)


class Rope:
    """The rotary positions of one model."""

    def __init__(self, config: RopeConfig, head_dim: int, dtype: torch.dtype) -> None:
        self._frequencies = frequencies(config, head_dim)
        self._magnitude = config.magnitude
        self._dtype = dtype

    def at(self, positions: Tensor) -> Rotation:
        """The rotation for `positions` [rows]."""
        angles = torch.outer(positions.to(torch.float32), self._frequencies)  # [rows, head_dim / 2]
        cos = angles.cos().mul_(self._magnitude).to(self._dtype)
        sin = angles.sin().mul_(self._magnitude).to(self._dtype)
        stacked = torch.stack((cos, cos), 1), torch.stack((-sin, sin), 1)
        return Rotation(stacked[0].unsqueeze(1), stacked[1].unsqueeze(1))


def frequencies(config: RopeConfig, head_dim: int) -> Tensor:
    """Radians per position, `[head_dim / 2]` float32."""
    exponents = torch.arange(0, head_dim, 2, dtype=torch.float32) / head_dim
    plain = 1.0 / config.theta**exponents
    if config.kind == "linear":
        return plain / config.factor
    if config.kind == "llama3":
        return _llama3(plain, config)
    if config.kind == "yarn":
        return _yarn(plain, config, head_dim)
    return plain


def _llama3(plain: Tensor, config: RopeConfig) -> Tensor:
    turns = config.original_context * plain / (2 * math.pi)  # within the trained context
    kept = ((turns - config.slow) / (config.fast - config.slow)).clamp(0, 1)
    return torch.lerp(plain / config.factor, plain, kept)


def _yarn(plain: Tensor, config: RopeConfig, head_dim: int) -> Tensor:
    low = _dimension(config.fast, config, head_dim)
    high = _dimension(config.slow, config, head_dim)
    if config.whole_dimensions:
        low, high = math.floor(low), math.ceil(high)
    low, high = max(low, 0), min(high, head_dim - 1)
    width = (high - low) or 0.001  # the reference's guard against an empty ramp
    ramp = (torch.arange(head_dim // 2, dtype=torch.float32) - low) / width
    return torch.lerp(plain, plain / config.factor, ramp.clamp(0, 1))


def _dimension(turns: float, config: RopeConfig, head_dim: int) -> float:
    """The dimension that turns `turns` times within the trained context (YaRN, section 3.2)."""
    wave = config.original_context / (turns * 2 * math.pi)
    return head_dim * math.log(wave) / (2 * math.log(config.theta))
