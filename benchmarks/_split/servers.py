"""The GPU's side of each column, in a process of its own that ends with the benchmark."""

import multiprocessing
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from types import MappingProxyType
from typing import Literal

import torch
from torch import Tensor

from benchmarks._split import grpc_modules, zeromq_modules
from benchmarks._split.modules import Modules, Null, Real
from benchmarks._split.source import Source
from worker.execution.split.address import Scheme, parse
from worker.execution.split.sites import SiteId
from worker.execution.split.wire import DTYPES, Kind
from worker.gpu.server import Server
from worker.gpu.shelf import Linear, Shelf, collect
from worker.model.parameters import allocate

START_S = 600
ROWS = 128
SCHEDULED = 2  # Linux's number for a process's processor clock, clock_getcpuclockid(3)

Design = Literal["grpc", "zeromq", "split", "helper"]


@dataclass(frozen=True, slots=True)
class Spec:
    """What a server is to be. `kind` and `digest` are of the worker's weights, made of `dtype`.

    With `null` it answers zeros, each product `delay_s` after it was begun, one at a time: a GPU
    whose speed is known, and which takes nothing of this machine.
    """

    design: Design
    source: Source
    dtype: torch.dtype
    null: bool
    device: str = "cpu"
    threads: int = 1
    kind: Kind = Kind.FLOAT32
    digest: bytes = b""
    delay_s: float = 0.0
    wire: Scheme = "tcp"  # of the split design


@dataclass(frozen=True, slots=True)
class Running:
    """A server's address and process; no process if it is not ours to look at."""

    url: str = ""
    process: int | None = None

    def processor_s(self) -> float:
        """Processor time that it has taken so far."""
        if self.process is None:
            return 0.0
        return time.clock_gettime(~self.process << 3 | SCHEDULED)


@contextmanager
def started(spec: Spec) -> Iterator[Running]:
    """A server that runs until the end of the block."""
    spawn = multiprocessing.get_context("spawn")
    ours, theirs = spawn.Pipe()
    process = spawn.Process(target=_serve, args=(spec, theirs), daemon=True)
    process.start()
    theirs.close()
    try:
        if not ours.poll(START_S):
            raise TimeoutError(f"the {spec.design} server does not start")
        yield Running(ours.recv(), process.pid)
    finally:
        process.terminate()
        process.join()


def _serve(spec: Spec, url: Connection) -> None:
    torch.set_num_threads(spec.threads)
    if spec.design in ("split", "helper"):
        _serve_split(spec, url.send)
        return
    modules: Modules = Null(spec.source) if spec.null else Real(spec.source, spec.device)
    if spec.design == "zeromq":
        zeromq_modules.serve(modules, url.send)
    with grpc_modules.serving(modules) as at:
        url.send(at)
        while True:
            time.sleep(3600)  # its threads serve until the process is ended


def _serve_split(spec: Spec, ready: Callable[[str], None]) -> None:
    shelf = _null_shelf(spec) if spec.null else _shelf(spec)
    place = f"benchmark-{os.getpid()}" if spec.wire == "shm" else "127.0.0.1:0"
    listener = parse("gpu", f"{spec.wire}://{place}").listen(None)
    server = Server(shelf, listener, most_rows=ROWS, takes_seeds=spec.design == "helper")
    ready(server.url)
    server.run()


def _shelf(spec: Spec) -> Shelf:
    return collect(
        lambda execution: spec.source.decoder(execution, spec.dtype, 1),
        torch.device(spec.device),
        int8=spec.kind is Kind.INT32,
    )


def _null_shelf(spec: Spec) -> Shelf:
    shapes = site_shapes(spec.source)
    zeros = torch.zeros(
        ROWS * max(outputs for outputs, _ in shapes.values()), dtype=DTYPES[spec.kind]
    )
    linears = {
        site: Linear(inputs, outputs, _zeros(outputs, zeros, spec.delay_s))
        for site, (outputs, inputs) in shapes.items()
    }
    return Shelf(MappingProxyType(linears), spec.kind, spec.digest, torch.device("cpu"))


def site_shapes(source: Source) -> dict[SiteId, torch.Size]:
    """[out, in] of each linear that split execution sends out."""
    empty = allocate(source.config, torch.bfloat16)
    named = {SiteId(0, "head"): empty.head.matrix.shape}
    for index, layer in enumerate(empty.layers):
        named[SiteId(index, "qkv")] = layer.qkv.matrix.shape
        named[SiteId(index, "o")] = layer.o.matrix.shape
        named[SiteId(index, "gate_up")] = layer.gate_up.matrix.shape
        named[SiteId(index, "down")] = layer.down.matrix.shape
    return named


def _zeros(outputs: int, zeros: Tensor, delay_s: float) -> Callable[[Tensor], Tensor]:
    def multiply(x: Tensor) -> Tensor:
        if delay_s:
            time.sleep(delay_s)
        return zeros[: len(x) * outputs].view(len(x), outputs)

    return multiply
