"""Rotary positions: frequencies once per model, angles once per step."""

import math

import torch
from torch import Tensor

from worker.kernels.attention import Rotation
from worker.model.rope_config import RopeConfig


class Rope:
    """The rotary positions of one model."""

    def __init__(self, config: RopeConfig, head_dim: int) -> None:
        self._frequencies = frequencies(config, head_dim)
        self._magnitude = config.magnitude

    def at(self, positions: Tensor) -> Rotation:
        """The rotation for `positions` [rows]."""
        angles = torch.outer(positions.to(torch.float32), self._frequencies)  # [rows, head_dim / 2]
        cosines, sines = angles.cos(), angles.sin()
        if self._magnitude != 1:
            cosines, sines = cosines.mul_(self._magnitude), sines.mul_(self._magnitude)
        return Rotation(cosines, sines)


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
