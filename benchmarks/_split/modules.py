"""What the baselines' servers compute, by the names of modules, in float32."""

import math
from collections.abc import Mapping
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional

from benchmarks._split.source import Source, modules, shapes


class Modules(Protocol):
    """A model's parts on the GPU's side."""

    def forward(self, module: str, x: Tensor) -> Tensor:
        """A linear of rows [..., in], or the embedding of ids [...]."""

    def multiply(self, a: Tensor, b: Tensor) -> Tensor:
        """A batch of matrix products."""

    def norms(self) -> Mapping[str, Tensor]:
        """The norms' weights: what `Init` gives away."""


class Real:
    """Computes on `device`."""

    def __init__(self, source: Source, device: str) -> None:
        named = modules(source.config, source.weights(torch.float32))
        self._named = {name: tensor.to(device) for name, tensor in named.items()}
        self._device = device

    def forward(self, module: str, x: Tensor) -> Tensor:
        weight = self._named[f"{module}.weight"]
        if module == "model.embed_tokens":
            return functional.embedding(x.to(self._device), weight).cpu()
        bias = self._named.get(f"{module}.bias")
        return functional.linear(x.to(self._device), weight, bias).cpu()

    def multiply(self, a: Tensor, b: Tensor) -> Tensor:
        return (a.to(self._device) @ b.to(self._device)).cpu()

    def norms(self) -> Mapping[str, Tensor]:
        return {name: w.cpu() for name, w in self._named.items() if name.endswith("norm.weight")}


class Null:
    """Answers zeros of the right shapes, so that what is left is transport."""

    def __init__(self, source: Source) -> None:
        self._shapes = shapes(source.config)
        self._known = torch.zeros(0)  # made once, as for ours, so that it stays in the cache

    def forward(self, module: str, x: Tensor) -> Tensor:
        shape = self._shapes[f"{module}.weight"]
        if module == "model.embed_tokens":
            return self._zeros(*x.shape, shape[1])
        return self._zeros(*x.shape[:-1], shape[0])

    def multiply(self, a: Tensor, b: Tensor) -> Tensor:
        return self._zeros(*a.shape[:-1], b.shape[-1])

    def norms(self) -> Mapping[str, Tensor]:
        named = self._shapes.items()
        return {name: torch.ones(shape) for name, shape in named if name.endswith("norm.weight")}

    def _zeros(self, *shape: int) -> Tensor:
        count = math.prod(shape)
        if count > len(self._known):
            self._known = torch.zeros(count)
        return self._known[:count].view(shape)
