"""The weights that a GPU server computes with, found by letting the decoder ask for its sites."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import MappingProxyType

import torch
from torch import Tensor
from torch.nn import functional

from worker.engine.step import Step
from worker.execution.local import WHOLE, LookUp
from worker.execution.seam import Execution, Part, Site, SiteSpec, Weight
from worker.execution.split.products import KINDS, choose
from worker.execution.split.sites import Digest, SiteId, site_id, to_int8
from worker.execution.split.wire import KINDS as WIRE_KINDS
from worker.execution.split.wire import Kind
from worker.model.load import load_model
from worker.model.weights import WeightType

Multiply = Callable[[Tensor], Tensor]


@dataclass(frozen=True, slots=True)
class Linear:
    """A matrix as a function of rows on the device."""

    inputs: int
    outputs: int
    multiply: Multiply


@dataclass(frozen=True, slots=True)
class Shelf:
    """All linears of a model, the kind of their rows, and the digest of their weights."""

    linears: Mapping[SiteId, Linear]
    kind: Kind
    digest: bytes
    device: torch.device


def load_shelf(folder: Path, dtype: WeightType, device: torch.device, *, int8: bool) -> Shelf:
    """Read a model folder. Raises `BadModel`; `BadSettings` if the device computes wrongly."""
    load = partial(load_model, folder, dtype=dtype, low_bit="none", page_count=1)
    return collect(lambda execution: load(execution=execution), device, int8=int8)


def collect(build: Callable[[Execution], object], device: torch.device, *, int8: bool) -> Shelf:
    """The linears of the decoder that `build` makes. Raises `BadSettings` as above."""
    collecting = _Collecting(device, int8=int8)
    build(collecting)
    return collecting.shelf()


class _Collecting:
    """An execution that runs nothing: it takes the weights that the decoder hands out."""

    pace = WHOLE
    bfloats = None

    def __init__(self, device: torch.device, *, int8: bool) -> None:
        self._device = device
        self._take = self._take_int8 if int8 else self._take_float
        self._kind = Kind.INT32
        self._digest = Digest()
        self._matrices: dict[SiteId, Tensor] = {}

    def site(self, spec: SiteSpec, weight: Weight) -> Site:
        if spec.name != "embed":
            self._matrices[site_id(spec)] = self._take(site_id(spec), weight.matrix)
        return LookUp(spec, weight)  # has the sizes; is never run

    def resident(self, part: Part) -> AbstractContextManager[None]:
        del part
        return nullcontext()

    def share(self, step: Step | None) -> Step:
        del step
        raise AssertionError("a GPU server runs no steps")

    def close(self) -> None:
        pass

    def shelf(self) -> Shelf:
        multiplier = self._multiplier()
        linears = {
            site: Linear(matrix.shape[1], len(matrix), multiplier(matrix))
            for site, matrix in self._matrices.items()
        }
        return Shelf(MappingProxyType(linears), self._kind, self._digest.value(), self._device)

    def _take_int8(self, site: SiteId, matrix: Tensor) -> Tensor:
        weight = to_int8(matrix)
        self._digest.add(site, weight.values, weight.scale)
        return weight.values.to(self._device)

    def _take_float(self, site: SiteId, matrix: Tensor) -> Tensor:
        self._digest.add(site, matrix)
        self._kind = WIRE_KINDS[matrix.dtype]
        return matrix.to(self._device)

    def _multiplier(self) -> Callable[[Tensor], Multiply]:
        if self._kind is not Kind.INT32:
            return lambda matrix: lambda x: functional.linear(x, matrix)
        shapes = {matrix.shape: matrix for matrix in self._matrices.values()}
        return KINDS[choose(shapes.values())]
