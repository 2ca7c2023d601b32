"""The local execution: every linear runs here, in the TEE, on weights that stay in memory."""

import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

from torch import Tensor
from torch.nn import functional

from worker.engine.step import Step
from worker.execution.seam import Pace, Part, Pending, Site, SiteSpec, Weight
from worker.kernels.native import Kernels
from worker.kernels.packed import Fused, Packed
from worker.kernels.twins import Twins
from worker.model.norm import rms_norm

WHOLE = Pace(rows=sys.maxsize, at_once=1)
"""All rows at once: large products are the fastest."""


class LocalExecution:
    """Computes at once, holds everything, shares with nobody. `kernels` compute packed weights."""

    pace = WHOLE

    def __init__(self, kernels: Kernels | None = None) -> None:
        self._kernels = kernels or Twins()
        self.bfloats = self._kernels.bfloats
        self._always: AbstractContextManager[None] = nullcontext()

    def site(self, spec: SiteSpec, weight: Weight) -> Site:
        packed, kernels = weight.packed, self._kernels
        if packed is None:
            return LookUp(spec, weight) if spec.name == "embed" else Linear(spec, weight)
        if spec.name == "embed":
            return PackedLookUp(spec, lambda ids: kernels.look_up(packed, ids))
        return PackedLinear(spec, kernels.linear(_fused(spec, packed, weight.bias)))

    def resident(self, part: Part) -> AbstractContextManager[None]:
        del part  # all parts are in memory
        return self._always

    def share(self, step: Step | None) -> Step:
        assert step is not None, "there is no other rank to receive a step from"
        return step

    def close(self) -> None:
        pass  # the kernels are others' too


def _fused(spec: SiteSpec, packed: Packed, bias: Tensor | None) -> Fused:
    assert packed.gated == spec.silu_multiply
    if spec.norm is None:
        return Fused(packed, bias)
    return Fused(packed, bias, spec.norm.weight, spec.norm.epsilon)


@dataclass(frozen=True, slots=True)
class Done:
    """A result that is there already."""

    value: Tensor

    def result(self) -> Tensor:
        return self.value

    def abandon(self) -> None:
        pass


class LookUp:
    """The embedding: rows of the matrix by token id."""

    def __init__(self, spec: SiteSpec, weight: Weight) -> None:
        self.sizes = spec.sizes
        self._matrix = weight.matrix

    def __call__(self, x: Tensor) -> Tensor:
        return self._matrix.index_select(0, x)

    def submit(self, x: Tensor) -> Pending:
        return Done(self(x))


class PackedLookUp:
    """The embedding: rows of a packed matrix by token id."""

    def __init__(self, spec: SiteSpec, look_up: Callable[[Tensor], Tensor]) -> None:
        self.sizes = spec.sizes
        self._look_up = look_up

    def __call__(self, x: Tensor) -> Tensor:
        return self._look_up(x)

    def submit(self, x: Tensor) -> Pending:
        return Done(self(x))


class PackedLinear:
    """Prologue, one linear, epilogue: one kernel."""

    def __init__(self, spec: SiteSpec, fused: Callable[[Tensor], Tensor]) -> None:
        self.sizes = spec.sizes
        self._fused = fused

    def __call__(self, x: Tensor) -> Tensor:
        return self._fused(x)

    def submit(self, x: Tensor) -> Pending:
        return Done(self(x))


class Linear:
    """Prologue, one linear, epilogue: PyTorch, for matrices that are not packed."""

    def __init__(self, spec: SiteSpec, weight: Weight) -> None:
        self.sizes = spec.sizes
        self._norm = spec.norm
        self._silu_multiply = spec.silu_multiply
        self._weight = weight

    def __call__(self, x: Tensor) -> Tensor:
        if self._norm is not None:
            x = rms_norm(x, self._norm.weight, self._norm.epsilon)
        y = functional.linear(x, self._weight.matrix, self._weight.bias)
        if not self._silu_multiply:
            return y
        gate, up = y.split_with_sizes(self.sizes, -1)
        return functional.silu(gate).mul_(up)

    def submit(self, x: Tensor) -> Pending:
        return Done(self(x))
