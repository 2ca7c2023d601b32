"""The linears that a GPU may compute: their names, their int8 weights, and one digest over all.

Both sides make the int8 weights from the model's files by the same rule, so that equal files give
equal bytes, and the digest shows that they did. The weights are no secret of this design.
"""

import hashlib
from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

import numpy as np
import torch
from torch import Tensor

from worker.execution.seam import SiteSpec

Name = Literal["qkv", "o", "gate_up", "down", "head"]
NAMES: tuple[Name, ...] = get_args(Name)
STEP_ROWS = 1024
LARGEST = 127  # of an int8 weight; -128 is left out, so that signs are alike


class SiteId(NamedTuple):
    """A linear's place in the model; the head is in layer 0."""

    layer: int
    name: Name


def site_id(spec: SiteSpec) -> SiteId:
    assert spec.name != "embed", "the embedding is looked up in the TEE"
    return SiteId(spec.part.layer, spec.name)


@dataclass(frozen=True, slots=True)
class Int8Weight:
    """A matrix as `values * scale`, by output channel. `norm` bounds the 2-norm of a row."""

    values: Tensor  # int8 [out, in]
    scale: Tensor  # float32 [out]
    norm: float


def to_int8(matrix: Tensor) -> Int8Weight:
    """Round each row of `matrix` [out, in] to 127ths of its largest value."""
    largest = matrix.abs().amax(1).float()
    scale = torch.where(largest > 0, largest / LARGEST, 1.0)
    values = torch.empty(matrix.shape, dtype=torch.int8)
    norm = 1.0
    parts = (torch.split(whole, STEP_ROWS) for whole in (matrix, scale, values))
    for rows, own, out in zip(*parts, strict=True):
        out.copy_((rows.float() / own[:, None]).round_())
        norm = max(norm, float(torch.linalg.vector_norm(out.double(), dim=1).max()))
    return Int8Weight(values, scale, norm)


class Digest:
    """SHA-256 over sites in the order in which the decoder asks for them."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256(b"cloister split weights 1")

    def add(self, site: SiteId, *tensors: Tensor) -> None:
        self._hash.update(repr(tuple(site)).encode())
        for tensor in tensors:
            self._hash.update(f"{tensor.dtype} {tuple(tensor.shape)}".encode())
            self._hash.update(_bytes(tensor))

    def value(self) -> bytes:
        """32 bytes for all that was added so far."""
        return self._hash.digest()


def _bytes(tensor: Tensor) -> memoryview:
    flat: np.ndarray = tensor.contiguous().view(-1).view(torch.uint8).numpy()
    return flat.data
