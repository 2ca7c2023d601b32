"""One worker's session: it says who it is, then sends calls. Nothing of a call outlives its reply.

A header is believed only after each of its numbers was compared with what the site must have, and
memory is reserved before a payload is read.
"""

import hmac
import logging
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from queue import SimpleQueue

from worker.execution.split.frames import Memory, Wire
from worker.execution.split.stream import expand
from worker.execution.split.wire import (
    DTYPES,
    HELLO_BYTES,
    HELLO_S,
    LIMITS,
    NONCE_BYTES,
    BadFrame,
    Header,
    Kind,
    Op,
    Refused,
    Status,
    prove,
)
from worker.gpu.batcher import Batcher, Job
from worker.gpu.budget import Budget
from worker.gpu.shelf import Linear, Shelf

FRAME_S = 30.0  # a frame that has begun must end within it, either way
WINDOW = 4  # calls of one worker in flight

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class House:
    """What all sessions share."""

    shelf: Shelf
    batcher: Batcher
    budget: Budget
    most_rows: int
    token: bytes = field(repr=False)
    kind: Kind  # of all calls: rows as the shelf's, or seeds


@dataclass(frozen=True, slots=True)
class Reply:
    """What goes back for one call; `size_bytes` are the budget's."""

    header: Header
    payload: memoryview | bytes = field(repr=False)
    size_bytes: int


class Session:
    """Reads in the thread that calls `run`, writes in one of its own."""

    def __init__(self, wire: Wire, house: House) -> None:
        self._wire = wire
        self._house = house
        self._replies: SimpleQueue[Reply | None] = SimpleQueue()
        self._window = threading.Semaphore(WINDOW)
        self._broken = threading.Event()
        self._item_bytes = DTYPES[house.shelf.kind].itemsize

    def run(self) -> None:
        """Serve until the worker leaves or breaks the protocol."""
        writer = threading.Thread(target=self._write, name="replies", daemon=True)
        writer.start()
        try:
            self._greet()
            while not self._broken.is_set():
                self._take_call()
        except Refused as refusal:
            self._answer_last(refusal.status)
        except BadFrame:
            self._answer_last(Status.MALFORMED)
        except OSError:
            pass  # it left, or was too slow
        finally:
            self._finish(writer)

    def stop(self) -> None:
        """End it from another thread."""
        self._broken.set()
        self._wire.shut()

    def _greet(self) -> None:
        nonce = os.urandom(NONCE_BYTES)
        self._wire.send(Header(Op.CHALLENGE, size_bytes=NONCE_BYTES), nonce, HELLO_S)
        header = self._wire.header(HELLO_S, HELLO_S)
        if header.op is not Op.HELLO or header.size_bytes != HELLO_BYTES:
            raise BadFrame("a session begins with HELLO")
        hello = bytes(self._wire.payload(HELLO_BYTES, HELLO_S))
        digest, proof = hello[:32], hello[32:]
        shelf = self._house.shelf
        if not hmac.compare_digest(proof, prove(self._house.token, nonce, digest)):
            raise Refused(Status.WRONG_TOKEN)
        if (header.kind is Kind.SEED) != (self._house.kind is Kind.SEED):
            raise Refused(Status.OTHER_PURPOSE)
        if digest != shelf.digest or header.kind is not self._house.kind:
            raise Refused(Status.OTHER_WEIGHTS)
        limits = LIMITS.pack(self._house.most_rows, WINDOW)
        self._wire.send(Header(Op.WELCOME, size_bytes=len(limits)), limits, HELLO_S)

    def _take_call(self) -> None:
        header = self._wire.header(None, FRAME_S)
        linear = self._checked(header)
        size_bytes = header.rows * (linear.inputs + linear.outputs) * self._item_bytes
        self._window.acquire()
        self._house.budget.take(size_bytes)
        try:
            payload = self._rows(header, self._wire.payload(header.size_bytes, FRAME_S))
        except BaseException:
            self._give_back(size_bytes)
            raise
        done = self._answer(header, linear, size_bytes)
        self._house.batcher.put(Job(header.site, header.rows, payload, done))

    def _checked(self, header: Header) -> Linear:
        """The linear that is called. Raises `Refused` unless every number is right."""
        if header.op is not Op.MULTIPLY:
            raise BadFrame("only calls may follow")
        linear = self._house.shelf.linears.get(header.site)
        if linear is None:
            raise Refused(Status.UNKNOWN_SITE)
        if header.kind is not self._house.kind:
            raise Refused(Status.WRONG_SHAPE)
        try:
            header.payload(linear.inputs, self._house.most_rows)
        except BadFrame:
            raise Refused(Status.WRONG_SHAPE) from None
        return linear

    def _rows(self, header: Header, payload: Memory) -> memoryview:
        if header.kind is not Kind.SEED:
            return memoryview(payload)
        return expand(bytes(payload), header.rows, header.columns).data.cast("B")

    def _answer(
        self, call: Header, linear: Linear, size_bytes: int
    ) -> Callable[[memoryview | None], None]:
        def done(product: memoryview | None) -> None:
            header = Header(Op.ERROR, call.sequence, status=Status.FAILED)
            if product is not None:
                sizes = call.rows, linear.outputs, len(product)
                kind = self._house.shelf.kind
                header = Header(Op.PRODUCT, call.sequence, call.site, kind, *sizes)
            self._replies.put(Reply(header, product or b"", size_bytes))

        return done

    def _write(self) -> None:
        """Send replies; when the worker no longer takes them, drop the rest."""
        while (reply := self._replies.get()) is not None:
            try:
                if not self._broken.is_set():
                    self._wire.send(reply.header, reply.payload, FRAME_S)
            except OSError:
                self.stop()
            finally:
                self._give_back(reply.size_bytes)

    def _give_back(self, size_bytes: int) -> None:
        self._house.budget.give_back(size_bytes)
        self._window.release()

    def _answer_last(self, status: Status) -> None:
        log.warning("a worker is refused: %s", status.name.lower().replace("_", " "))
        self._window.acquire()
        self._replies.put(Reply(Header(Op.ERROR, status=status), b"", 0))

    def _finish(self, writer: threading.Thread) -> None:
        """Wait until the batcher and the writer are done with each call, then leave."""
        for _ in range(WINDOW):
            self._window.acquire()
        self._replies.put(None)
        writer.join()
        self._wire.close()
