"""The seam between the decoder and the place where its linear layers run."""

from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Literal, Protocol

from torch import Tensor

from worker.engine.step import Step
from worker.kernels.lowbit import Format
from worker.kernels.packed import Packed

SiteName = Literal["qkv", "o", "gate_up", "down", "embed", "head"]
Split = Literal["output", "input", "none"]


@dataclass(frozen=True, slots=True)
class Part:
    """The unit in which weights come into memory: the embedding, one layer, or the head."""

    kind: Literal["embed", "layer", "head"]
    layer: int = 0


@dataclass(frozen=True, slots=True)
class Norm:
    """RMSNorm before a linear (Zhang and Sennrich 2019)."""

    weight: Tensor  # [hidden]
    epsilon: float


@dataclass(frozen=True, slots=True)
class SiteSpec:
    """One fused step of the decoder: prologue, one linear, epilogue.

    `embed` is the exception: its input is token ids `[rows]`, its result those rows of the matrix.
    It always runs in the TEE, but is a site too, so that the execution owns all large weights.

    `sizes` are the widths of the linear's outputs, in order (q, k, v for `qkv`; gate, up for
    `gate_up`; one width elsewhere). `split` says how the weight divides over ranks. `norm` runs
    before the linear; `silu_multiply` turns (gate, up) into silu(gate) * up after it.
    """

    part: Part
    name: SiteName
    sizes: tuple[int, ...]
    split: Split
    norm: Norm | None = None
    silu_multiply: bool = False


@dataclass(frozen=True, slots=True)
class Weight:
    """A linear's weight as loaded: `matrix` [out, in], `bias` [out] or none.

    One in low bits is `packed`, with its panels for a matrix, and so is one of bfloat16 for an
    execution that asks for it; only the local one takes those.
    """

    matrix: Tensor
    bias: Tensor | None = None
    packed: Packed | None = None


class Pending(Protocol):
    """A result under way."""

    def result(self) -> Tensor:
        """Wait for it. [rows, width]; the caller's to overwrite."""

    def abandon(self) -> None:
        """Nobody will ask for it."""


class Site(Protocol):
    """A linear at its place."""

    sizes: tuple[int, ...]  # what this place really holds, e.g. its own (q, k, v) widths

    def submit(self, x: Tensor) -> Pending:
        """Start the linear on `x` [rows, in]; several may be in flight."""

    def __call__(self, x: Tensor) -> Tensor:
        """`submit(x).result()`"""


@dataclass(frozen=True, slots=True)
class Pace:
    """How a step goes through the layers: `rows` of it at a time, `at_once` such pieces under way.

    Pieces end where attention allows it, so one may have more rows.
    """

    rows: int
    at_once: int


class Execution(Protocol):
    """A way to run the decoder's linear layers."""

    pace: Pace

    @property
    def bfloats(self) -> Format | None:
        """How matrices of bfloat16 shall be packed; None: not at all."""

    def site(self, spec: SiteSpec, weight: Weight) -> Site:
        """Take a weight in at build time and answer the site that uses it."""

    def resident(self, part: Part) -> AbstractContextManager[None]:
        """Inside it, the part's weights are in memory."""

    def share(self, step: Step | None) -> Step:
        """Rank 0 gives the step, the others receive it; alone it is the identity."""

    def close(self) -> None:
        """Give back what the execution holds."""
