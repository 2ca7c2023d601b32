"""How one linear's rows go out and come back: as integers under masks, or in clear."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from worker.execution.seam import Weight
from worker.execution.split.check import Check
from worker.execution.split.frames import Memory
from worker.execution.split.masks import Masks, MaskSource
from worker.execution.split.products import Product
from worker.execution.split.ring import Fixed, blocks, from_fixed, masked, to_fixed, unmasked
from worker.execution.split.sites import Int8Weight, SiteId
from worker.execution.split.stream import Words
from worker.execution.split.wire import KINDS, Kind


class BadProduct(Exception):
    """A product fails its check: the GPU lied, or a machine is broken."""


class Rows(Protocol):
    """Rows of one call. `payload` is what the GPU may see; none: compute them in the TEE."""

    @property
    def payload(self) -> memoryview | None: ...

    def restore(self, reply: Memory) -> Tensor:
        """The true products [rows, out] from the GPU's, whose memory may be overwritten.

        Raises `BadProduct`.
        """

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
        return RingRows(self, to_fixed(x, self.weight), masks, x.dtype)


class RingRows:
    """Integer rows. Their mask belongs to these bytes alone: a retry sends them as they are."""

    def __init__(self, ring: Ring, fixed: Fixed, masks: Masks | None, dtype: torch.dtype) -> None:
        self._ring = ring
        self._fixed = fixed
        self._dtype = dtype
        self._masks = masks
        self.payload = None if masks is None else masked(fixed, masks.words).data.cast("B")

    def restore(self, reply: Memory) -> Tensor:
        assert self._masks is not None, "nothing was sent"
        products = np.frombuffer(reply, np.uint32).reshape(len(self._fixed.integers), -1)
        mask_products = np.broadcast_to(self._masks.products, products.shape)
        y = torch.empty(products.shape, dtype=self._dtype)
        for some in blocks(*products.shape):
            true = unmasked(products[some], mask_products[some])
            if not self._holds(true, some):
                right = self._right_products(self._masks)
                true += mask_products[some] - right[some]
                mask_products = right
                if not self._holds(true, some):
                    raise BadProduct
            y[some] = self._numbers(true, some)
        return y

    def here(self) -> Tensor:
        return self._numbers(self._product(self._fixed.integers), slice(None)).to(self._dtype)

    def _holds(self, true: Words, some: slice) -> bool:
        return self._ring.check.holds(self._fixed.integers[some], true)

    def _right_products(self, masks: Masks) -> Words:
        """What the masks' maker should have sent. Raises `BadProduct` if it did."""
        assert self.payload is not None, "nothing was sent"
        integers = self._fixed.integers
        sent = np.frombuffer(self.payload, np.uint32).reshape(integers.shape)
        right = self._product(sent - integers)
        if (right == masks.products).all():
            raise BadProduct
        self._ring.source.distrust()
        return right

    def _product(self, integers: Words) -> Words:
        product: Words = self._ring.product(torch.from_numpy(integers.view(np.int32))).numpy()
        return product.view(np.uint32)

    def _numbers(self, products: Words, some: slice) -> Tensor:
        return from_fixed(products, self._fixed.steps[some], self._ring.weight)


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

    def restore(self, reply: Memory) -> Tensor:
        return torch.frombuffer(reply, dtype=self.x.dtype).view(len(self.x), -1)

    def here(self) -> Tensor:
        return functional.linear(self.x, self.matrix)
