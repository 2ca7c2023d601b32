"""How one linear's rows go out and come back: as integers under masks, or in clear."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from worker.execution.seam import Weight
from worker.execution.split.check import Check, Sums
from worker.execution.split.frames import Memory
from worker.execution.split.masks import Masks, MaskSource
from worker.execution.split.products import Product
from worker.execution.split.ring import room
from worker.execution.split.sites import Int8Weight, SiteId
from worker.execution.split.stream import Words
from worker.execution.split.wire import KINDS, Kind
from worker.kernels.masking import Masking


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
        """Make rows [rows, in] ready to be sent, or to be computed here alone; they are kept.

        Raises `Unavailable` if masks are out.
        """


class Ring:
    """Integers mod 2^32, under masks from `source`; each product is checked before it is used."""

    kind = Kind.INT32

    def __init__(
        self,
        site: SiteId,
        weight: Int8Weight,
        product: Product,
        source: MaskSource,
        masking: Masking,
    ) -> None:
        self.weight = weight
        self.product = product
        self.check = Check(weight.values)
        self.source = source
        self.masking = masking
        self._site = site
        outputs, inputs = weight.values.shape
        self.room = room(inputs, weight.norm)
        source.add(site, inputs, outputs, product)

    def prepare(self, x: Tensor, *, to_send: bool) -> Rows:
        masks = self.source.take(self._site, len(x)) if to_send else None
        return RingRows(self, x, masks)


class RingRows:
    """Integer rows. Their mask belongs to these bytes alone: a retry sends them as they are."""

    def __init__(self, ring: Ring, x: Tensor, masks: Masks | None) -> None:
        self._ring = ring
        self._x = x
        self._factors, self._steps = ring.masking.space(x, ring.room)
        self._masks = masks
        self.payload: memoryview | None = None
        if masks is not None:
            words, self._sums = ring.masking.hide(x, self._factors, masks.words, ring.check.image)
            self.payload = words.data.cast("B")

    def restore(self, reply: Memory) -> Tensor:
        assert self._masks is not None, "nothing was sent"
        products = np.frombuffer(reply, np.uint32).reshape(len(self._x), -1)
        y, holds = self._revealed(products, self._masks.products)
        if not holds:
            y, holds = self._revealed(products, self._right_products(self._masks))
        if not holds:
            raise BadProduct
        return y

    def here(self) -> Tensor:
        return self._numbers(self._product(self._integers()), None, None)[0]

    def _revealed(self, products: Words, mask_products: Words) -> tuple[Tensor, bool]:
        """The true products, if the check holds."""
        y, sums = self._numbers(products, mask_products, self._ring.check.secret)
        return y, np.array_equal(sums, self._sums)

    def _numbers(
        self, products: Words, mask_products: Words | None, secret: Words | None
    ) -> tuple[Tensor, Sums]:
        scale, dtype = self._ring.weight.scale, self._x.dtype
        return self._ring.masking.reveal(products, mask_products, secret, self._steps, scale, dtype)

    def _right_products(self, masks: Masks) -> Words:
        """What the masks' maker should have sent. Raises `BadProduct` if it did."""
        assert self.payload is not None, "nothing was sent"
        sent = np.frombuffer(self.payload, np.uint32).reshape(self._x.shape)
        right = self._product(sent - self._integers())
        if (right == masks.products).all():
            raise BadProduct
        self._ring.source.distrust()
        return right

    def _integers(self) -> Words:
        return self._ring.masking.hide(self._x, self._factors, None, None)[0]

    def _product(self, integers: Words) -> Words:
        product: Words = self._ring.product(torch.from_numpy(integers.view(np.int32))).numpy()
        return product.view(np.uint32)


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
