"""What a forward pass costs: calls, bytes and seconds, by phase.

The product carries no clocks of its own. `watched` puts them around its functions for as long as a
benchmark runs. `quantise` finds how finely to round, `mask` rounds and puts masks over integers,
`unmask` takes them off and makes numbers; both do their half of the check besides, which `verify`
tells by itself (checks.py).
"""

import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal
from unittest.mock import patch

from torch import Tensor

from benchmarks._split.checks import Pass, check_s
from worker.execution.split.arithmetic import RingRows
from worker.execution.split.frames import Memory
from worker.execution.split.link import Call, Link
from worker.execution.split.masks import Pool
from worker.execution.split.wire import Kind
from worker.kernels.attention_native import AttentionNative
from worker.kernels.attention_twin import AttentionTwin
from worker.kernels.masking import Masking, NativeMasking
from worker.kernels.masking_twins import MaskingTwins

Phase = Literal["quantise", "mask", "send", "wait", "unmask", "verify", "attention"]

PHASES: tuple[Phase, ...] = ("quantise", "mask", "send", "wait", "unmask", "verify", "attention")

PLACES: tuple[tuple[object, str, Phase], ...] = (
    (NativeMasking, "space", "quantise"),
    (MaskingTwins, "space", "quantise"),
    (Pool, "take", "mask"),
    (AttentionNative, "__call__", "attention"),
    (AttentionTwin, "__call__", "attention"),
)


@dataclass(slots=True)
class Ledger:
    """Bytes are those of tensors; what frames them adds less than a kilobyte a call."""

    up_bytes: int = 0
    down_bytes: int = 0
    calls_s: list[float] = field(default_factory=list)
    phases_s: defaultdict[str, float] = field(default_factory=partial(defaultdict, float))
    processor_s: defaultdict[str, float] = field(default_factory=partial(defaultdict, float))
    """Of this process, by phase."""
    checks: Counter[Pass] = field(default_factory=Counter)

    def tell_checks(self) -> None:
        """Move what the checks took from the phases that they are in to one of their own."""
        for one, count in self.checks.items():
            phase = "mask" if one.what == "hide" else "unmask"
            for seconds in (self.phases_s, self.processor_s):
                seconds[phase] -= count * check_s(one)
                seconds["verify"] += count * check_s(one)
        self.checks.clear()


class Watch:
    """Notes into `ledger`, which is replaced for each measurement."""

    def __init__(self) -> None:
        self.ledger = Ledger()

    @contextmanager
    def phase(self, name: Phase) -> Iterator[None]:
        began, processor = time.perf_counter(), time.process_time()
        try:
            yield
        finally:
            self.ledger.phases_s[name] += time.perf_counter() - began
            self.ledger.processor_s[name] += time.process_time() - processor

    def call(self, up_bytes: int, down_bytes: int, seconds: float) -> None:
        """One call and its reply."""
        self.ledger.up_bytes += up_bytes
        self.ledger.down_bytes += down_bytes
        self.ledger.calls_s.append(seconds)


@contextmanager
def watched(watch: Watch, *, believing: bool) -> Iterator[None]:
    """Note what our own split execution does; if `believing`, use products that fail the check."""
    with ExitStack() as stack:
        for owner, name, phase in PLACES:
            stack.enter_context(patch.object(owner, name, _timed(watch, phase, owner, name)))
        for masking in (NativeMasking, MaskingTwins):
            stack.enter_context(patch.object(masking, "hide", _hide(watch, masking)))
            stack.enter_context(patch.object(masking, "reveal", _reveal(watch, masking)))
        if believing:
            stack.enter_context(patch.object(RingRows, "_revealed", _believed()))
        send, receive = _link(watch)
        stack.enter_context(patch.object(Link, "send", send))
        stack.enter_context(patch.object(Link, "receive", receive))
        yield


def _timed(watch: Watch, phase: Phase, owner: object, name: str) -> Callable[..., Any]:
    function: Callable[..., Any] = getattr(owner, name)

    def timed(*arguments: Any) -> Any:
        with watch.phase(phase):
            return function(*arguments)

    return timed


def _hide(watch: Watch, masking: type[Masking]) -> Callable[..., Any]:
    function = masking.hide

    def hide(own: Masking, x: Tensor, factors: Tensor, masks: Any, image: Any) -> Any:
        if image is not None:
            rows, columns = x.shape
            watch.ledger.checks[Pass(own, "hide", rows, columns, x.dtype)] += 1
        with watch.phase("mask"):
            return function(own, x, factors, masks, image)

    return hide


def _reveal(watch: Watch, masking: type[Masking]) -> Callable[..., Any]:
    function = masking.reveal

    def reveal(own: Masking, products: Any, masks: Any, secret: Any, *rest: Any) -> Any:
        if secret is not None:
            rows, columns = products.shape
            watch.ledger.checks[Pass(own, "reveal", rows, columns, rest[-1])] += 1
        with watch.phase("unmask"):
            return function(own, products, masks, secret, *rest)

    return reveal


def _believed() -> Callable[..., tuple[Tensor, bool]]:
    function = RingRows._revealed
    return lambda *arguments: (function(*arguments)[0], True)


def _link(watch: Watch) -> tuple[Callable[[Link, Call], int], Callable[[Link, int], Memory]]:
    """`send` and `receive` of a link, noting each call from its first byte to its last."""
    send_it, receive_it = Link.send, Link.receive
    sent: dict[tuple[int, int], tuple[float, int]] = {}

    def send(link: Link, call: Call) -> int:
        if call.kind is Kind.SEED:  # a helper's, which nobody waits for
            return send_it(link, call)
        began = time.perf_counter()
        with watch.phase("send"):
            sequence = send_it(link, call)
        sent[id(link), sequence] = began, memoryview(call.payload).nbytes
        return sequence

    def receive(link: Link, sequence: int) -> Memory:
        if (id(link), sequence) not in sent:
            return receive_it(link, sequence)
        with watch.phase("wait"):
            reply = receive_it(link, sequence)
        began, up_bytes = sent.pop((id(link), sequence))
        watch.call(up_bytes, len(reply), time.perf_counter() - began)
        return reply

    return send, receive
