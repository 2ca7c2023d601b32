"""The split execution: linears on a GPU that is not trusted, everything else in the TEE.

What the GPU's host learns in `blind` mode: the model, how many rows each call has, and when. The
rows themselves are uniform noise to it.
"""

from contextlib import AbstractContextManager, nullcontext
from typing import Literal

from worker.engine.step import Step
from worker.execution.local import LookUp
from worker.execution.seam import Pace, Part, Site, SiteSpec, Weight
from worker.execution.split.arithmetic import Arithmetic, Clear, Ring
from worker.execution.split.link import Terms
from worker.execution.split.masks import MaskSource
from worker.execution.split.products import KINDS, choose
from worker.execution.split.products import Kind as ProductKind
from worker.execution.split.site import CHUNKS, Calls, SplitSite
from worker.execution.split.sites import Digest, SiteId, site_id, to_int8
from worker.execution.split.wire import Kind
from worker.kernels.masking import Masking

Numbers = Literal["ring", "clear"]
"""Integers mod 2^32, under the masks that there are, or floats in clear."""


class SplitExecution:
    """Sends each linear to a GPU server. `start` it once the decoder is built.

    `deadline_s` bounds one call at one server; `token` is what the servers ask for.
    """

    bfloats = None  # masks and digests are of matrices as they are

    def __init__(
        self,
        calls: Calls,
        masks: MaskSource,
        masking: Masking,
        *,
        numbers: Numbers = "ring",
        token: bytes = b"",
        deadline_s: float = 10.0,
    ) -> None:
        self.counts = calls.gpus.counts
        self.pace = Pace(calls.chunk_rows, calls.at_once)
        self._calls = calls
        self._masks = masks
        self._masking = masking
        self._make = self._clear if numbers == "clear" else self._ring
        self._token = token
        self._deadline_s = deadline_s
        self._digest = Digest()
        self._kind = Kind.INT32
        self._exact: dict[tuple[int, ...], ProductKind] = {}  # by shape
        self._always: AbstractContextManager[None] = nullcontext()

    def site(self, spec: SiteSpec, weight: Weight) -> Site:
        if spec.name == "embed":
            return LookUp(spec, weight)
        return SplitSite(spec, weight, self._make(site_id(spec), weight), self._calls)

    @property
    def digest(self) -> bytes:
        """Of the weights of all sites so far: what a GPU server must have."""
        return self._digest.value()

    def start(self) -> None:
        """Greet the GPU servers and begin to make masks. Raises `BadModel`, `BadSettings`."""
        digest = self.digest
        terms = Terms(
            digest,
            self._kind,
            self._token,
            self._deadline_s,
            self._calls.chunk_rows,
            CHUNKS * self._calls.at_once,
        )
        self._calls.gpus.start(terms)
        self._masks.start(digest)

    def resident(self, part: Part) -> AbstractContextManager[None]:
        del part  # the TEE's copies are in memory, the GPU's are not ours
        return self._always

    def share(self, step: Step | None) -> Step:
        assert step is not None, "there is no other rank to receive a step from"
        return step

    def close(self) -> None:
        self._calls.gpus.close()
        self._masks.close()

    def _ring(self, site: SiteId, weight: Weight) -> Arithmetic:
        int8 = to_int8(weight.matrix)
        self._digest.add(site, int8.values, int8.scale)
        shape = int8.values.shape
        if shape not in self._exact:
            self._exact[shape] = KINDS[choose([int8.values])]
        return Ring(site, int8, self._exact[shape](int8.values), self._masks, self._masking)

    def _clear(self, site: SiteId, weight: Weight) -> Arithmetic:
        self._digest.add(site, weight.matrix)
        clear = Clear(weight)
        self._kind = clear.kind
        return clear
