"""What a forward pass costs: calls, bytes and seconds, by phase.

The product carries no clocks of its own. `watched` puts them around its functions for as long as a
benchmark runs.
"""

import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal
from unittest.mock import patch

from worker.execution.split import arithmetic
from worker.execution.split.check import Check
from worker.execution.split.link import Call, Link
from worker.execution.split.masks import LocalPool
from worker.kernels.attention_native import AttentionNative
from worker.kernels.attention_twin import AttentionTwin

Phase = Literal["quantise", "mask", "send", "wait", "unmask", "verify", "attention"]

PHASES: tuple[Phase, ...] = ("quantise", "mask", "send", "wait", "unmask", "verify", "attention")

PLACES: tuple[tuple[object, str, Phase], ...] = (
    (arithmetic, "to_fixed", "quantise"),
    (LocalPool, "take", "mask"),
    (arithmetic, "masked", "mask"),
    (arithmetic, "unmasked", "unmask"),
    (arithmetic, "from_fixed", "unmask"),
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
        stack.enter_context(patch.object(Check, "holds", _holds(watch, believing)))
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


def _holds(watch: Watch, believing: bool) -> Callable[..., bool]:
    function = Check.holds

    def holds(*arguments: Any) -> bool:
        with watch.phase("verify"):
            return function(*arguments) or believing

    return holds


def _link(watch: Watch) -> tuple[Callable[[Link, Call], int], Callable[[Link, int], bytearray]]:
    """`send` and `receive` of a link, noting each call from its first byte to its last."""
    send_it, receive_it = Link.send, Link.receive
    sent: dict[tuple[int, int], tuple[float, int]] = {}

    def send(link: Link, call: Call) -> int:
        began = time.perf_counter()
        with watch.phase("send"):
            sequence = send_it(link, call)
        sent[id(link), sequence] = began, memoryview(call.payload).nbytes
        return sequence

    def receive(link: Link, sequence: int) -> bytearray:
        with watch.phase("wait"):
            reply = receive_it(link, sequence)
        began, up_bytes = sent.pop((id(link), sequence))
        watch.call(up_bytes, len(reply), time.perf_counter() - began)
        return reply

    return send, receive
