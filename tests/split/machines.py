"""GPU servers in threads, workers that use them, and wires on which somebody interferes."""

import secrets
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch

from tests.model.checkpoints import PAGE_SIZE, PAGES
from tests.split.certificates import made_identity, pin_of
from worker.execution.split.address import Identity, parse
from worker.execution.split.execution import Numbers, SplitExecution
from worker.execution.split.frames import Frames, Memory, Payload, Wire
from worker.execution.split.gpus import Connect, Gpus
from worker.execution.split.masks import LocalPool, MaskSource, NoMasks, OnEmpty
from worker.execution.split.site import Calls, OnLoss
from worker.execution.split.stream import MaskStream
from worker.execution.split.wire import Header, Op
from worker.gpu.server import Server
from worker.gpu.shelf import Shelf, load_shelf
from worker.kernels.masking import find_masking
from worker.kernels.native import Kernels
from worker.model.cache import CacheType
from worker.model.decoder import Decoder
from worker.model.load import load_model

CPU = torch.device("cpu")
MANY = 64 * 2**20  # bytes of masks: more than a test uses


def shelf_of(folder: Path, *, int8: bool = True) -> Shelf:
    return load_shelf(folder, "auto", CPU, int8=int8)


@contextmanager
def serving(shelf: Shelf, wire: str = "tcp", **options: object) -> Iterator[Server]:
    """A running server; its `url` tells where."""
    with closing(parse("listen", place(wire)).listen(identity(wire))) as listener:
        server = Server(shelf, listener, **options)
        thread = threading.Thread(target=server.run, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.close()
            thread.join(20)


def place(wire: str) -> str:
    """An address that nobody has."""
    return f"shm://test-{secrets.token_hex(8)}" if wire == "shm" else f"{wire}://127.0.0.1:0"


def identity(wire: str) -> Identity | None:
    return made_identity("localhost") if wire == "tls" else None


def to(server: Server) -> Connect:
    """Opens a wire to it."""
    return lambda: at(server.url)


def at(url: str, timeout_s: float = 20) -> Frames:
    address = parse("gpu", url)
    if address.scheme == "tls":
        address = replace(address, pin=pin_of(made_identity("localhost")))
    return Frames(address.connect(timeout_s))


def nowhere() -> Wire:
    raise ConnectionRefusedError("nobody is there")


def still() -> float:
    """A clock on which a lost server stays lost, however slow the test runs."""
    return 0.0


def pool(on_empty: OnEmpty = "wait", limit_bytes: int = MANY) -> LocalPool:
    return LocalPool(limit_bytes, on_empty, MaskStream())


@contextmanager
def split(
    folder: Path,
    *connects: Connect,
    masks: MaskSource | None = None,
    numbers: Numbers = "ring",
    on_loss: OnLoss = "reject",
    chunk_rows: int = 128,
    at_once: int = 2,
    token: bytes = b"",
    deadline_s: float = 20.0,
    kernels: Kernels | None = None,
    kept: CacheType = "auto",
) -> Iterator[tuple[Decoder, SplitExecution]]:
    """A decoder whose linears the servers behind `connects` compute, and its execution."""
    named = [(f"gpu{index}", connect) for index, connect in enumerate(connects)]
    calls = Calls(Gpus(named, still), chunk_rows, on_loss, at_once)
    masks = masks or (NoMasks() if numbers == "clear" else pool())
    execution = SplitExecution(
        calls, masks, find_masking(), numbers=numbers, token=token, deadline_s=deadline_s
    )
    try:
        sizes = {"page_size": PAGE_SIZE, "page_count": PAGES}
        decoder = load_model(
            folder, execution=execution, kernels=kernels, kv_cache_dtype=kept, **sizes
        )
        execution.start()
        yield decoder, execution
    finally:
        execution.close()


Change = Callable[[Header, bytearray], tuple[Header, bytearray]]


@dataclass
class Meddler:
    """A wire on which replies are changed, and all that the GPU's host can see is noted."""

    wire: Wire
    change: Change = lambda header, payload: (header, payload)
    seen: list[tuple[Header, bytes]] = field(default_factory=list)
    products: int = 0
    _held: bytearray | None = None

    def send(self, header: Header, payload: Payload, timeout_s: float) -> None:
        self.seen.append((header, bytes(payload)))
        self.wire.send(header, payload, timeout_s)

    def header(self, first_byte_s: float | None, rest_s: float) -> Header:
        header = self.wire.header(first_byte_s, rest_s)
        if header.op is not Op.PRODUCT:
            return header
        self.products += 1
        payload = bytearray(self.wire.payload(header.size_bytes, rest_s))
        header, self._held = self.change(header, payload)
        return header

    def payload(self, size_bytes: int, timeout_s: float) -> Memory:
        held, self._held = self._held, None
        return self.wire.payload(size_bytes, timeout_s) if held is None else held[:size_bytes]

    def shut(self) -> None:
        self.wire.shut()

    def close(self) -> None:
        self.wire.close()
