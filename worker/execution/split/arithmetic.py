"""How one linear's rows go out and come back: as integers under masks, or in clear."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from worker.execution.seam import Weight
from worker.execution.split.check import Check
from worker.execution.split.masks import Masks, MaskSource
from worker.execution.split.products import Product
from worker.execution.split.ring import Fixed, from_fixed, masked, to_fixed, unmasked
from worker.execution.split.sites import Int8Weight, SiteId
from worker.execution.split.stream import Words
from worker.execution.split.wire import KINDS, Kind


class BadProduct(Exception):
    """A product fails its check: the GPU lied, or a machine is broken."""


class Rows(Protocol):
    """Rows of one call. `payload` is what the GPU may see; none: compute them in the TEE."""

    @property
    def payload(self) -> memoryview | None: ...

    def restore(self, reply: bytearray) -> Tensor:
        """The true products [rows, out] from the GPU's, in any float type. Raises `BadProduct`."""

    def here(self) -> Tensor:
        """The same products, computed in the TEE."""


class Arithmetic(Protocol):
    """One linear's way. `kind` is that of its payloads."""

    kind: Kind

    def prepare(self, x: Tensor, *, to_send: bool) -> Rows:
        """Make rows [rows, in] ready to be sent, or to be computed here alone.

        Raises `Unavailable` if masks are out.
        """


class Ring:
    """Integers mod 2^32, under masks from `source`; each product is checked before it is used."""

    kind = Kind.INT32

    def __init__(
        self, site: SiteId, weight: Int8Weight, product: Product, source: MaskSource
    ) -> None:
        self.weight = weight
        self.product = product
        self.check = Check(weight.values)
        self._site = site
        self.source = source
        outputs, inputs = weight.values.shape
        source.add(site, inputs, outputs, product)

    def prepare(self, x: Tensor, *, to_send: bool) -> Rows:
        masks = self.source.take(self._site, len(x)) if to_send else None
        return RingRows(self, to_fixed(x, self.weight), masks)


class RingRows:
    """Integer rows. Their mask belongs to these bytes alone: a retry sends them as they are."""

    def __init__(self, ring: Ring, fixed: Fixed, masks: Masks | None) -> None:
        self._ring = ring
        self._fixed = fixed
        self._masks = masks
        self.payload = None if masks is None else masked(fixed, masks.words).data.cast("B")

    def restore(self, reply: bytearray) -> Tensor:
        assert self._masks is not None, "nothing was sent"
        products = np.frombuffer(reply, np.uint32).reshape(len(self._fixed.integers), -1)
        for mask_products in self._mask_products(self._masks):
            true = unmasked(products, mask_products)
            if self._ring.check.holds(self._fixed.integers, true):
                return self._tensor(true)
        raise BadProduct

    def here(self) -> Tensor:
        return self._tensor(self._product(self._fixed.integers))

    def _mask_products(self, masks: Masks) -> Iterator[Words]:
        """As they came; if these fail the check, as they are, should their maker have lied."""
        yield masks.products
        words = np.broadcast_to(masks.words, self._fixed.integers.shape).copy()
        right = self._product(words)
        if not (right == masks.products).all():
            self._ring.source.distrust()
            yield right

    def _product(self, integers: Words) -> Words:
        product: Words = self._ring.product(torch.from_numpy(integers.view(np.int32))).numpy()
        return product.view(np.uint32)

    def _tensor(self, products: Words) -> Tensor:
        return from_fixed(products, self._fixed.steps, self._ring.weight)


class Clear:
    """Floats as they are: no privacy and no integrity, for a GPU that is trusted."""

    def __init__(self, weight: Weight) -> None:
        self._matrix = weight.matrix
        self.kind = KINDS[weight.matrix.dtype]

    def prepare(self, x: Tensor, *, to_send: bool) -> Rows:
        return ClearRows(self._matrix, x.contiguous(), to_send)


@dataclass(frozen=True, slots=True, repr=False)
class ClearRows:
    """Float rows."""

    matrix: Tensor
    x: Tensor
    to_send: bool

    @property
    def payload(self) -> memoryview | None:
        if not self.to_send:
            return None
        flat: np.ndarray = self.x.view(torch.uint8).numpy()
        return flat.data.cast("B")

    def restore(self, reply: bytearray) -> Tensor:
        return torch.frombuffer(reply, dtype=self.x.dtype).view(len(self.x), -1)

    def here(self) -> Tensor:
        return functional.linear(self.x, self.matrix)
