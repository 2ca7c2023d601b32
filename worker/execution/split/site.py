"""One linear whose product comes from a GPU: prologue, calls in chunks of rows, epilogue."""

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from cloister.errors import Unavailable
from worker.execution.seam import SiteSpec, Weight
from worker.execution.split.arithmetic import Arithmetic, BadProduct, Rows
from worker.execution.split.gpus import Flight, Gpus
from worker.execution.split.link import Call
from worker.execution.split.sites import site_id
from worker.model.norm import rms_norm

OnLoss = Literal["tee", "reject"]

CHUNKS = 2  # calls under way for rows that do not go into one


@dataclass(frozen=True, slots=True)
class Calls:
    """How a linear's calls are made, whatever their arithmetic.

    A call has `chunk_rows` rows at most; a long step goes in pieces of so many, `at_once` of them
    under way, so that TEE, wire and GPU all work. A call that no GPU answers is computed in the
    TEE, or with `on_loss` "reject" its requests fail.
    """

    gpus: Gpus
    chunk_rows: int = 128
    on_loss: OnLoss = "tee"
    at_once: int = 2


@dataclass(frozen=True, slots=True)
class Started:
    """A call under way, or to be computed in the TEE if it has no `call`."""

    rows: Rows
    call: Call | None
    flight: Flight | None


class SplitSite:
    """Satisfies `Site`."""

    def __init__(
        self, spec: SiteSpec, weight: Weight, arithmetic: Arithmetic, calls: Calls
    ) -> None:
        self.sizes = spec.sizes
        self._id = site_id(spec)
        self._norm = spec.norm
        self._silu_multiply = spec.silu_multiply
        self._bias = weight.bias
        self._arithmetic = arithmetic
        self._calls = calls

    def __call__(self, x: Tensor) -> Tensor:
        return self.submit(x).result()

    def submit(self, x: Tensor) -> "Product":
        if self._norm is not None:
            x = rms_norm(x, self._norm.weight, self._norm.epsilon)
        return Product(self, x, self._calls.chunk_rows)

    def start(self, x: Tensor) -> Started:
        """Begin the call for rows `x`."""
        reachable = self._calls.gpus.can_be_had()
        if not reachable:
            self._check_may_go_on()
        rows = self._arithmetic.prepare(x, to_send=reachable)
        if rows.payload is None:
            return Started(rows, None, None)
        kind, outputs = self._arithmetic.kind, sum(self.sizes)
        call = Call(self._id, kind, len(x), x.shape[1], outputs, rows.payload)
        return Started(rows, call, self._calls.gpus.send(call))

    def finish(self, started: Started) -> Tensor:
        """The call's checked products [rows, out]."""
        for product in self._checked(started):
            return product
        if started.call is not None:
            self._check_may_go_on()
        self._calls.gpus.counts.in_tee += 1
        return started.rows.here()

    def complete_(self, y: Tensor) -> Tensor:
        """Bias and activation, in `y`'s own memory."""
        if self._bias is not None:
            y += self._bias
        if not self._silu_multiply:
            return y
        gate, up = y.split_with_sizes(self.sizes, -1)
        return functional.silu(gate).mul_(up)

    def _check_may_go_on(self) -> None:
        if self._calls.on_loss == "reject":
            raise Unavailable("no GPU server answers (--on-gpu-loss reject)")

    def _checked(self, started: Started) -> Iterator[Tensor]:
        """The products that pass the check; a server whose product fails is never asked again."""
        if started.call is None:
            return
        for endpoint, reply in self._calls.gpus.replies(started.call, started.flight):
            try:
                yield started.rows.restore(reply)
            except BadProduct:
                endpoint.quarantine("a product failed its check")


class Product:
    """A site's products under way: a few chunks of rows are on the wire while others are made."""

    def __init__(self, site: SplitSite, x: Tensor, chunk_rows: int) -> None:
        self._site = site
        self._dtype = x.dtype
        self._coming = iter(torch.split(x, chunk_rows))
        self._started: deque[Started] = deque()
        with self._abandoning():
            self._start()

    def result(self) -> Tensor:
        with self._abandoning():
            parts = [part.to(self._dtype) for part in self._finished()]
        return self._site.complete_(parts[0] if len(parts) == 1 else torch.cat(parts))

    def abandon(self) -> None:
        """End the sessions whose replies nobody will take: they would pile up."""
        for started in self._started:
            if started.flight is not None:
                started.flight.endpoint.close()

    def _finished(self) -> Iterator[Tensor]:
        while self._started:
            yield self._site.finish(self._started.popleft())
            self._start()

    def _start(self) -> None:
        for x in self._coming:
            self._started.append(self._site.start(x))
            if len(self._started) == CHUNKS:
                return

    @contextmanager
    def _abandoning(self) -> Iterator[None]:
        try:
            yield
        except BaseException:
            self.abandon()
            raise
