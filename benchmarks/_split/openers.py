"""Opens a column: its server, if it has one, and the model with the execution that it is about."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial

import torch

from benchmarks._split.columns import Again, Cached, Column, Name, Setup
from benchmarks._split.grpc_modules import PerModule
from benchmarks._split.ledger import Watch
from benchmarks._split.masks import Stock, row_bytes
from benchmarks._split.servers import ROWS, Design, Running, Spec, site_shapes, started
from benchmarks._split.zeromq_modules import Client, Uncached
from worker.execution.local import LocalExecution
from worker.execution.seam import Execution
from worker.execution.split.address import Address, parse
from worker.execution.split.execution import SplitExecution
from worker.execution.split.frames import Frames, Wire
from worker.execution.split.gpus import Gpus
from worker.execution.split.helper import HelperPool
from worker.execution.split.masks import BLOCK_ROWS, MaskSource, NoMasks
from worker.execution.split.site import Calls
from worker.execution.split.wire import KINDS, Kind
from worker.kernels.masking import find_masking
from worker.kernels.native import find_kernels
from worker.model.decoder import Decoder

CONNECT_S = 5.0
LOOK_S = 0.005  # between looks for masks that a helper multiplies


@contextmanager
def opened(name: Name, setup: Setup, watch: Watch) -> Iterator[Column]:
    """A column that can be measured."""
    openers = {"a-grpc": _grpc, "b-zeromq": _zeromq, "b-causal": _zeromq, "c-tee": _local}
    with openers.get(name, _split)(name, setup, watch) as column:
        yield column


@contextmanager
def _local(name: Name, setup: Setup, watch: Watch) -> Iterator[Column]:
    del name, watch
    kernels = find_kernels(setup.threads)
    yield Cached(_decoder(setup, LocalExecution(kernels), setup.dtype), Running(), _nothing)
    kernels.close()


@contextmanager
def _grpc(name: Name, setup: Setup, watch: Watch) -> Iterator[Column]:
    del name
    with started(_spec("grpc", setup)) as server:
        execution = PerModule(server.url, watch)
        decoder = _decoder(setup, execution, torch.float32)
        yield Cached(decoder, server, _nothing, all_logits=True)
        execution.close()


@contextmanager
def _zeromq(name: Name, setup: Setup, watch: Watch) -> Iterator[Column]:
    with started(_spec("zeromq", setup)) as server:
        client = Client(server.url, watch)
        causal = name == "b-causal"
        yield Again(Uncached(setup.source.config, client, watch, causal=causal), server)
        client.close()


@dataclass(slots=True)
class Place:
    """Where a server is: known once the weights are, whose digest it must have."""

    address: Address | None = None

    def connect(self) -> Wire:
        assert self.address is not None, "not started"
        return Frames(self.address.connect(CONNECT_S))


@contextmanager
def _split(name: Name, setup: Setup, watch: Watch) -> Iterator[Column]:
    del watch
    gpu, helper = Place(), Place()
    masks, ready = _masks(name, setup, helper)
    pool = find_kernels(setup.threads)  # whose threads help with masking and attention
    execution = SplitExecution(
        Calls(Gpus([("gpu", gpu.connect)]), setup.chunk_rows, at_once=setup.at_once),
        masks,
        find_masking(),
        numbers="clear" if name == "plain" else "ring",
        deadline_s=setup.deadline_s,
    )
    kind = KINDS[setup.dtype] if name == "plain" else Kind.INT32
    decoder = _decoder(setup, execution, setup.dtype)
    spec = _spec("split", setup, kind, execution.digest)
    with ExitStack() as stack:
        server = Running() if setup.gpu else stack.enter_context(started(spec))
        gpu.address = setup.gpu or parse("gpu", server.url)
        if name == "helper":
            other = stack.enter_context(started(replace(spec, design="helper", wire="tcp")))
            helper.address = parse("masks", other.url)
        execution.start()
        yield Cached(decoder, server, ready)
        execution.close()
        pool.close()


def _masks(name: Name, setup: Setup, helper: Place) -> tuple[MaskSource, Callable[[int], None]]:
    """What gives masks, and how to make it ready for so many rows."""
    if name == "helper":
        shapes = site_shapes(setup.source)
        limit_bytes = row_bytes(shapes) * (setup.tokens + 2 * BLOCK_ROWS)
        at = "helper", helper.connect
        pool = HelperPool(limit_bytes, "wait", at, deadline_s=setup.deadline_s, rows=ROWS)
        return pool, partial(_wait_for, pool)
    if not name.startswith("blind"):
        return NoMasks(), _nothing
    stock = Stock(site_shapes(setup.source), free=setup.null and name == "blind-warm")
    return stock, stock.fill if name == "blind-warm" else stock.empty


def _wait_for(pool: HelperPool, rows: int) -> None:
    while pool.ready_rows() < rows:
        time.sleep(LOOK_S)


def _nothing(rows: int) -> None:
    del rows


def _spec(design: Design, setup: Setup, kind: Kind = Kind.FLOAT32, digest: bytes = b"") -> Spec:
    where = setup.device, setup.threads, kind, digest, setup.delay_s, setup.wire
    return Spec(design, setup.source, setup.dtype, setup.null, *where)


def _decoder(setup: Setup, execution: Execution, dtype: torch.dtype) -> Decoder:
    return setup.source.decoder(execution, dtype, setup.tokens)
