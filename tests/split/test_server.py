"""The GPU server towards clients it does not know: exact checks, bounded memory, short errors."""

import struct
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cloister.errors import BadSettings
from tests.split.certificates import made_identity
from tests.split.machines import at, serving, to
from worker.execution.split.frames import Frames
from worker.execution.split.link import Call, Link, Terms
from worker.execution.split.sites import SiteId
from worker.execution.split.wire import HEADER, BadFrame, Header, Kind, Op, Refused, Status
from worker.gpu.__main__ import main
from worker.gpu.batcher import Batcher, Job
from worker.gpu.masks import main as helper_main
from worker.gpu.server import Server
from worker.gpu.session import WINDOW
from worker.gpu.shelf import Linear, Shelf

SITE = SiteId(1, "o")


def terms(shelf: Shelf) -> Terms:
    return Terms(shelf.digest, shelf.kind, b"", 20)


@contextmanager
def greeted(server: Server, shelf: Shelf) -> Iterator[Frames]:
    """A wire after its handshake."""
    wire = to(server)()
    link = Link(wire, terms(shelf))
    try:
        yield wire
    finally:
        link.close()


def call_of(shelf: Shelf, rows: int = 3, seed: int = 0) -> Call:
    linear = shelf.linears[SITE]
    generator = torch.Generator().manual_seed(seed)
    x = torch.randint(-(2**31), 2**31, (rows, linear.inputs), generator=generator).int()
    payload = x.numpy().data.cast("B")
    return Call(SITE, Kind.INT32, rows, linear.inputs, linear.outputs, payload)


def good(shelf: Shelf) -> Header:
    return call_of(shelf).header(1)


def is_served(server: Server, shelf: Shelf) -> bool:
    """A newcomer still gets right products."""
    link, call = Link(to(server)(), terms(shelf)), call_of(shelf)
    try:
        product = link.receive(link.send(call))
    finally:
        link.close()
    x = torch.frombuffer(bytearray(call.payload), dtype=torch.int32).view(3, -1)
    return product == shelf.linears[SITE].multiply(x).numpy().tobytes()


WRONG = {
    "layer": ({"site": SiteId(2, "o")}, Status.UNKNOWN_SITE),
    "head of a layer": ({"site": SiteId(1, "head")}, Status.UNKNOWN_SITE),
    "kind": ({"kind": Kind.FLOAT32}, Status.WRONG_SHAPE),
    "columns": ({"columns": 47}, Status.WRONG_SHAPE),
    "no rows": ({"rows": 0, "size_bytes": 0}, Status.WRONG_SHAPE),
    "too many rows": ({"rows": 129, "size_bytes": 129 * 48 * 4}, Status.WRONG_SHAPE),
    "four gigabytes": ({"rows": 2**32 - 1}, Status.WRONG_SHAPE),
    "length": ({"size_bytes": 2**63}, Status.WRONG_SHAPE),
    "short": ({"size_bytes": 3 * 48 * 4 - 1}, Status.WRONG_SHAPE),
    "operation": ({"op": Op.PRODUCT}, Status.MALFORMED),
    "second hello": ({"op": Op.HELLO}, Status.MALFORMED),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_wrong_header_is_refused_before_memory_is_taken(
    any_server: Server, shelf: Shelf, wrong: str
) -> None:
    fields, status = WRONG[wrong]
    with greeted(any_server, shelf) as wire:
        wire.send(replace(good(shelf), **fields), b"", 5)
        answer = wire.header(20, 5)
        assert (answer.op, answer.status, answer.size_bytes) == (Op.ERROR, status, 0)
        with pytest.raises(ConnectionResetError):
            wire.header(20, 5)
    assert any_server.budget.used_bytes == 0


@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(raw=st.binary(min_size=HEADER.size, max_size=HEADER.size + 40))
def test_noise_never_hurts(any_server: Server, shelf: Shelf, raw: bytes) -> None:
    for header in (raw, b"CLSP\x01\x04\x00\x00" + raw[8:]):
        with greeted(any_server, shelf) as wire:
            put_raw(wire, header)
    assert is_served(any_server, shelf)


@given(st.binary(min_size=HEADER.size, max_size=HEADER.size))
def test_header_is_read_or_refused(raw: bytes) -> None:
    for noise in (raw, b"CLSP\x01" + raw[5:]):
        try:
            header = Header.unpack(noise)
        except BadFrame:
            continue
        assert header.pack()[:36] == noise[:36]


@given(
    st.sampled_from(Op), st.integers(0, 2**64 - 1), st.integers(0, 2**16 - 1), st.sampled_from(Kind)
)
def test_header_comes_back(op: Op, sequence: int, layer: int, kind: Kind) -> None:
    header = Header(op, sequence, SiteId(layer, "down"), kind, 7, 9, 2**40, Status.FULL)
    assert Header.unpack(header.pack()) == header


@pytest.mark.parametrize("cut", [0, 1, 20, HEADER.size, HEADER.size + 10])
def test_worker_that_leaves_mid_frame_gives_everything_back(
    any_server: Server, shelf: Shelf, cut: int
) -> None:
    call = call_of(shelf)
    with greeted(any_server, shelf) as wire:
        put_raw(wire, (call.header(1).pack() + bytes(call.payload))[:cut])
    assert is_served(any_server, shelf)
    wait_until_alone(any_server)
    assert any_server.budget.used_bytes == 0


def put_raw(wire: Frames, raw: bytes) -> None:
    """Bytes that need not be a frame."""
    wire._pipe.write([memoryview(raw)], time.monotonic() + 20)


def wait_until_alone(server: Server) -> None:
    for thread in list(server._sessions.values()):
        thread.join(20)
    assert not server._sessions


def test_before_hello_nothing_is_computed(any_server: Server, shelf: Shelf) -> None:
    wire = to(any_server)()
    assert wire.header(5, 5).op is Op.CHALLENGE
    wire.payload(32, 5)
    wire.send(good(shelf), call_of(shelf).payload, 5)
    assert wire.header(5, 5).status is Status.MALFORMED
    wire.close()
    assert any_server.batcher.products == 0


def test_slow_reader_holds_up_nobody_else(any_server: Server, shelf: Shelf) -> None:
    slow = Link(to(any_server)(), terms(shelf))
    for _ in range(WINDOW):
        slow.send(call_of(shelf, rows=128))
    assert is_served(any_server, shelf)
    slow.close()
    wait_until_alone(any_server)
    assert any_server.budget.used_bytes == 0


def test_worker_beyond_the_limit_is_sent_away(shelf: Shelf, wire: str) -> None:
    with serving(shelf, wire, most_sessions=1) as server:
        first = Link(to(server)(), terms(shelf))
        with pytest.raises(OSError):
            Link(to(server)(), terms(shelf))
        first.close()


def test_calls_wait_for_memory_and_all_are_answered(shelf: Shelf, wire: str) -> None:
    with serving(shelf, wire, most_rows=4, memory_bytes=4 * 4 * 400) as server:
        with ThreadPoolExecutor(6) as pool:
            assert all(pool.map(lambda _: is_served(server, shelf), range(24)))
        wait_until_alone(server)
        assert server.budget.used_bytes == 0


def test_memory_for_less_than_one_call_is_refused(shelf: Shelf) -> None:
    with pytest.raises(BadSettings, match="memory_mb"), serving(shelf, memory_bytes=1000):
        pass


def test_calls_for_one_site_that_wait_become_one_product(shelf: Shelf) -> None:
    gate, begun = threading.Event(), threading.Event()
    true = shelf.linears[SITE].multiply

    def held(x: torch.Tensor) -> torch.Tensor:
        begun.set()
        assert gate.wait(20)
        return true(x)

    linear = replace(shelf.linears[SITE], multiply=held)
    batcher = Batcher(replace(shelf, linears={SITE: linear}), 128)
    batcher.start()
    calls = [call_of(shelf, rows, rows) for rows in (5, 60, 60, 60)]
    replies: list[bytes | None] = [None] * 4
    all_done = threading.Semaphore(0)

    def job(place: int) -> Job:
        def done(product: memoryview | None) -> None:
            replies[place] = bytes(product)
            all_done.release()

        return Job(SITE, calls[place].rows, bytearray(calls[place].payload), done)

    batcher.put(job(0))
    assert begun.wait(20)
    for place in (1, 2, 3):
        batcher.put(job(place))
    gate.set()
    for _ in range(4):
        assert all_done.acquire(timeout=20)
    batcher.close()
    assert batcher.products == 3  # 5 rows; 120 rows together; 60, which would have passed 128
    for call, reply in zip(calls, replies, strict=True):
        x = torch.frombuffer(bytearray(call.payload), dtype=torch.int32).view(call.rows, -1)
        assert reply == true(x).numpy().tobytes()


def test_failing_device_answers_a_code_and_logs_no_rows(
    shelf: Shelf, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(x: torch.Tensor) -> torch.Tensor:
        raise RuntimeError(f"cannot multiply {x.tolist()}")

    one = Linear(shelf.linears[SITE].inputs, shelf.linears[SITE].outputs, broken)
    with serving(replace(shelf, linears={**shelf.linears, SITE: one})) as server:
        link, call = Link(to(server)(), terms(shelf)), call_of(shelf)
        with pytest.raises(Refused) as error:
            link.receive(link.send(call))
        link.close()
        assert error.value.status is Status.FAILED
        first = struct.unpack("<i", bytes(call.payload)[:4])[0]
        assert str(first) not in caplog.text
        assert "cannot multiply" not in caplog.text


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["--listen", "tcp://0.0.0.0:0"], "CLOISTER_GPU_TOKEN"),
        (["--listen", "127.0.0.1:1"], "must be an address such as"),
        (["--listen", "tls://127.0.0.1:0"], "needs both"),
        (["--listen", "tcp://127.0.0.1:0", "--tls-cert", "x", "--tls-key", "y"], "tls_cert"),
        (["--listen", "tls://127.0.0.1:0", "--tls-cert", "x", "--tls-key", "y"], "cannot be used"),
        (["--listen", "tcp://127.0.0.1:0", "--device", "tpu"], "must be cpu, cuda"),
        (["--listen", "tcp://127.0.0.1:0", "--device", "cuda:0"], "cannot be used"),
        (["--listen", "tcp://127.0.0.1:0", "--model", "/nowhere"], "no folder"),
    ],
)
def test_bad_start_is_one_line(
    words: list[str], reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    if reason == "cannot be used" and torch.cuda.is_available():
        pytest.skip("this machine has such a device")
    assert main(words) == 2
    error = capsys.readouterr().err
    assert reason in error
    assert error.startswith("error: ")
    assert error.count("\n") == 1


def test_floats_are_not_served_in_clear_beyond_loopback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CLOISTER_GPU_TOKEN", "a-token-for-tests")
    for scheme in ("tcp", "zmq", "grpc"):
        assert main(["--listen", f"{scheme}://0.0.0.0:0", "--weights", "float"]) == 2
        assert "use tls://" in capsys.readouterr().err


def test_helper_listens_with_tls_alone_and_beyond_loopback_with_a_token(
    capsys: pytest.CaptureFixture[str],
) -> None:
    made = made_identity("localhost")
    files = ["--tls-cert", str(made.certificate), "--tls-key", str(made.key)]
    assert helper_main(["--listen", "tcp://127.0.0.1:0"]) == 2
    assert "tls://" in capsys.readouterr().err
    assert helper_main(["--listen", "tls://0.0.0.0:0", *files]) == 2
    assert "CLOISTER_MASKS_TOKEN" in capsys.readouterr().err


def test_server_ends_with_its_sessions_open(shelf: Shelf, wire: str) -> None:
    with serving(shelf, wire) as server:
        links = [Link(to(server)(), terms(shelf)) for _ in range(3)]
    for link in links:
        with pytest.raises(OSError):
            link.receive(link.send(call_of(shelf)))
        link.close()
    with pytest.raises(OSError):
        at(server.url, 0.5)
