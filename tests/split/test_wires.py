"""Each wire carries bytes in order, under deadlines and within bounds, whatever the peer does."""

import os
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import msgpack
import pytest
import zmq

from cloister.errors import BadSettings
from tests.split.certificates import made_identity, pin_of
from tests.split.machines import at, identity, place
from tests.split.test_server import is_served, wait_until_alone
from worker.execution.split import address
from worker.execution.split.address import SCHEMES, Address, parse, same_machine
from worker.execution.split.pipe import Listener, Pipe
from worker.execution.split.wires import shm
from worker.execution.split.wires.zmq_session import PIECE_BYTES, WINDOW_BYTES, Say
from worker.gpu.server import Server
from worker.gpu.shelf import Shelf

MANY = 12 * 2**20  # bytes: more than any wire holds on its way


@contextmanager
def listening(wire: str) -> Iterator[Listener]:
    with closing(parse("listen", place(wire)).listen(identity(wire))) as listener:
        listener.start()
        yield listener


@contextmanager
def pair(wire: str) -> Iterator[tuple[Pipe, Pipe]]:
    """A worker's end and a server's."""
    with listening(wire) as listener:
        accepted: list[Pipe] = []
        thread = threading.Thread(target=lambda: accepted.append(listener.accept()))
        thread.start()
        ours = pipe_to(listener.url, accepted, thread)
        try:
            yield ours, accepted[0]
        finally:
            ours.close()
            accepted[0].close()


def pipe_to(url: str, accepted: list[Pipe], thread: threading.Thread) -> Pipe:
    if not url.startswith("tls"):
        ours = at(url)._pipe
        thread.join()
        return ours
    greeting = threading.Thread(  # a handshake needs both ends
        target=lambda: (thread.join(), accepted[0].write([memoryview(b"!")], soon()))
    )
    greeting.start()
    ours = at(url)._pipe
    greeting.join()
    assert read_all(ours, 1) == b"!"
    return ours


def soon(seconds: float = 60) -> float:
    return time.monotonic() + seconds


def read_all(pipe: Pipe, count: int) -> bytes:
    whole = bytearray(count)
    place = memoryview(whole)
    while len(place):
        place = place[pipe.read(place, soon()) :]
    return bytes(whole)


def test_bytes_arrive_in_order_both_ways_at_once(wire: str) -> None:
    up, down = os.urandom(MANY), os.urandom(MANY)
    with pair(wire) as (ours, theirs):
        senders = [
            threading.Thread(target=pipe.write, args=([memoryview(b""), memoryview(sent)], soon()))
            for pipe, sent in ((ours, up), (theirs, down))
        ]
        for thread in senders:
            thread.start()
        heard: dict[str, bytes] = {}
        reader = threading.Thread(target=lambda: heard.update(up=read_all(theirs, MANY)))
        reader.start()
        assert read_all(ours, MANY) == down
        for thread in (reader, *senders):
            thread.join()
        assert heard["up"] == up


def test_reader_that_hears_nothing_stops_at_the_deadline(wire: str) -> None:
    with pair(wire) as (ours, theirs):
        for pipe in (ours, theirs):
            with pytest.raises(TimeoutError):
                pipe.read(memoryview(bytearray(1)), soon(0.05))


def test_writer_whose_peer_reads_nothing_stops_at_the_deadline(wire: str) -> None:
    pieces = [memoryview(bytes(2**20))] * 64  # more than kernels hold
    with pair(wire) as (ours, theirs):
        for pipe in (ours, theirs):
            with pytest.raises(TimeoutError):
                pipe.write(pieces, soon(0.5))


def test_what_was_written_before_the_end_arrives(wire: str) -> None:
    with pair(wire) as (ours, theirs):
        theirs.write([memoryview(b"last words")], soon())
        closer = threading.Thread(target=theirs.close)
        closer.start()
        assert read_all(ours, 10) == b"last words"
        with pytest.raises(ConnectionError):
            ours.read(memoryview(bytearray(1)), soon())
        closer.join()


def test_waiting_reader_is_woken(wire: str) -> None:
    with pair(wire) as (ours, _):
        ended = threading.Event()

        def read() -> None:
            with pytest.raises(OSError):
                ours.read(memoryview(bytearray(1)), None)
            ended.set()

        thread = threading.Thread(target=read)
        thread.start()
        ours.shut()
        assert ended.wait(20)
        thread.join()


def test_peer_that_leaves_is_noticed(wire: str) -> None:
    with pair(wire) as (ours, theirs):
        ours.close()
        with pytest.raises(ConnectionError):
            theirs.read(memoryview(bytearray(1)), soon())


def test_nobody_there_is_an_error_in_time(wire: str) -> None:
    with listening(wire) as listener:
        url = listener.url
    with pytest.raises(OSError):
        at(url, 0.3)


@pytest.mark.parametrize("wire", ["tcp", "tls", "zmq", "grpc"])
def test_taken_port_is_told(wire: str) -> None:
    with listening(wire) as listener, pytest.raises(OSError, match="in use"):
        parse("listen", listener.url).listen(identity(wire))


NOISE = {
    "nothing": b"",
    "HTTP": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "zeros": bytes(5000),
    "ones": b"\xff" * 5000,
    "TLS record of 64 KiB": b"\x16\x03\x03\xff\xff" + bytes(100),
    "ZMTP frame of 4 GiB": b"\xff" + bytes(8) + b"\x7f\x03\x00NULL" + bytes(48)
    + b"\x06\x00\x00\x00\x01\x00\x00\x00\x00" + bytes(100),
    "gRPC message of 4 GiB": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\x00\x00\x00\x04" + bytes(5)
    + b"\x00\x00\x05\x00\x00\x00\x00\x00\x01\x00\xff\xff\xff\xff",
    "HTTP/2 frame of 16 MiB": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\xff\xff\xff\x00" + bytes(100),
}  # fmt: skip


@pytest.mark.parametrize("noise", NOISE)
@pytest.mark.parametrize("wire", ["tcp", "tls", "zmq", "grpc"])
def test_noise_at_the_port_hurts_nobody(any_server: Server, shelf: Shelf, noise: str) -> None:
    spot = parse("gpu", any_server.url)
    with socket.create_connection((spot.host, spot.port), 20) as stranger:
        stranger.sendall(NOISE[noise])
        assert is_served(any_server, shelf)
    wait_until_alone(any_server)
    assert any_server.budget.used_bytes == 0


# ZeroMQ: envelopes that nobody may send


@pytest.mark.parametrize(
    "envelope",
    [
        b"",
        b"\xc1",
        msgpack.packb("x" * 100),
        msgpack.packb((9, b"")),
        msgpack.packb((Say.DATA, "text")),
        msgpack.packb((Say.DATA, 5)),
        msgpack.packb((Say.CREDIT, -1)),
        msgpack.packb((Say.CREDIT, 1)),
        msgpack.packb((Say.CREDIT, b"")),
        msgpack.packb((Say.OPEN, 0)),
        msgpack.packb({1: 2}),
        b"\xdd\xff\xff\xff\xff",  # a list of 2^32 - 1 things
        b"\x92\x02\xc6\xff\xff\xff\xff",  # 4 GiB of bytes
        b"\x91" * 3000,
    ],
)
def test_wrong_envelope_ends_its_session_alone(shelf: Shelf, envelope: bytes) -> None:
    with zmq_session() as (ours, listener, session):
        ours.send(envelope)
        with pytest.raises(ConnectionError):
            session.read(memoryview(bytearray(1)), soon())
        assert say_of(ours) == Say.CLOSE
        with closing(at(listener.url)), closing(listener.accept()):
            pass


def test_more_than_the_window_ends_the_session() -> None:
    with zmq_session() as (ours, _, session):
        for _ in range(WINDOW_BYTES // PIECE_BYTES + 1):
            ours.send(msgpack.packb((Say.DATA, bytes(PIECE_BYTES))))
        assert say_of(ours) == Say.CLOSE
        assert len(read_all(session, WINDOW_BYTES)) == WINDOW_BYTES
        with pytest.raises(ConnectionError):
            session.read(memoryview(bytearray(1)), soon())


def test_stranger_without_a_session_is_told_so() -> None:
    with listening("zmq") as listener, zmq_socket(listener.url) as ours:
        ours.send(msgpack.packb((Say.DATA, b"x")))
        assert say_of(ours) == Say.CLOSE


@contextmanager
def zmq_socket(url: str) -> Iterator[zmq.Socket[bytes]]:
    with zmq.Context() as context, context.socket(zmq.DEALER) as ours:
        ours.setsockopt(zmq.LINGER, 0)
        ours.setsockopt(zmq.RCVTIMEO, 20_000)
        ours.connect(url.replace("zmq", "tcp", 1))
        yield ours


@contextmanager
def zmq_session() -> Iterator[tuple["zmq.Socket[bytes]", Listener, Pipe]]:
    with listening("zmq") as listener, zmq_socket(listener.url) as ours:
        ours.send(msgpack.packb((Say.OPEN, 0)))
        session = listener.accept()
        assert say_of(ours) == Say.OPEN
        yield ours, listener, session
        session.close()


def say_of(ours: "zmq.Socket[bytes]") -> int:
    """What comes next, looks whether somebody is there left out."""
    while True:
        say, value = msgpack.unpackb(ours.recv())
        if (say, value) != (Say.CREDIT, 0):
            return say


# Shared memory: what the other side may write into it at any time


def test_rings_lose_their_name_at_once() -> None:
    with listening("shm") as listener:
        pattern = f"cloister-{listener.url.removeprefix('shm://')}.*"
        accepted: list[Pipe] = []
        thread = threading.Thread(target=lambda: accepted.append(listener.accept()))
        thread.start()
        ours = at(listener.url)
        thread.join()
        assert list(shm.FOLDER.glob(pattern)) == []
        ours.close()
        accepted[0].close()
        with pytest.raises(TimeoutError):
            at("shm://nobody-is-here", 0.05)
        assert list(shm.FOLDER.glob("cloister-nobody-is-here.*")) == []


@pytest.mark.parametrize("word", [shm.WRITTEN, shm.READ])
@pytest.mark.parametrize("value", [2**63, 2**64 - 1, shm.RING_BYTES + 1])
def test_wrong_counter_is_refused(word: int, value: int) -> None:
    with pair("shm") as (ours, theirs):
        theirs._words[theirs._mine + word] = value
        use = {
            shm.WRITTEN: lambda: ours.read(memoryview(bytearray(1)), soon()),
            shm.READ: lambda: ours.write([memoryview(b"x")], soon()),
        }
        with pytest.raises(ConnectionAbortedError):
            use[word]()


def test_peer_that_no_longer_beats_is_left() -> None:
    with pair("shm") as (ours, theirs):
        theirs._shut.set()  # it neither beats nor says that it ends, as after a kill
        theirs._beating.join()
        ours._patience_s = 0.2
        with pytest.raises(ConnectionError):
            ours.read(memoryview(bytearray(1)), soon())


@pytest.mark.parametrize("size", [0, 4096, shm.SIZE_BYTES + 1])
def test_file_that_is_no_ring_is_passed_over_and_in_time_removed(size: int) -> None:
    with listening("shm") as listener:
        path = shm.FOLDER / f"cloister-{listener.url.removeprefix('shm://')}.x"
        path.write_bytes(bytes(size))
        try:
            assert shm._taken(path) is None
            assert path.exists()
            os.utime(path, (0, 0))
            assert shm._taken(path) is None
            assert not path.exists()
        finally:
            path.unlink(missing_ok=True)


def test_link_is_not_followed(tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.write_bytes(bytes(shm.SIZE_BYTES))
    (tmp_path / "link").symlink_to(target)
    with pytest.raises(OSError):
        shm._taken(tmp_path / "link")


# TLS: who is believed


def tls(url: str, **fields: object) -> Callable[[], Pipe]:
    return lambda: replace(parse("gpu", url), **fields).connect(5)


def test_certificate_is_known_by_pin_or_by_authority_or_not_at_all() -> None:
    right, other = made_identity("localhost"), made_identity("other")
    with listening("tls") as listener:
        threading.Thread(target=answer_all, args=(listener,), daemon=True).start()
        for known in ({"pin": pin_of(right)}, {"authorities": right.certificate}):
            with closing(tls(listener.url, **known)()) as pipe:
                assert read_all(pipe, 1) == b"!"
        with pytest.raises(ConnectionAbortedError, match="pinned"):
            tls(listener.url, pin=pin_of(other))()
        for unknown in ({}, {"authorities": other.certificate}):
            with pytest.raises(ssl.SSLCertVerificationError):
                tls(listener.url, **unknown)()


def test_certificate_for_another_name_is_refused() -> None:
    made = made_identity("elsewhere")
    listener = parse("listen", "tls://127.0.0.1:0").listen(made)
    with closing(listener):
        listener.start()
        threading.Thread(target=answer_all, args=(listener,), daemon=True).start()
        with pytest.raises(ssl.SSLCertVerificationError, match="ostname"):
            tls(listener.url, host="localhost", authorities=made.certificate)()


def answer_all(listener: Listener) -> None:
    while True:
        try:
            pipe = listener.accept()
        except OSError:
            return
        with closing(pipe), suppress(OSError):
            pipe.write([memoryview(b"!")], soon(5))


def test_older_tls_is_refused() -> None:
    context = ssl.create_default_context(cafile=made_identity("localhost").certificate)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with listening("tls") as listener:
        threading.Thread(target=answer_all, args=(listener,), daemon=True).start()
        spot = parse("gpu", listener.url)
        plain = socket.create_connection((spot.host, spot.port), 20)
        with plain, pytest.raises(ssl.SSLError):
            context.wrap_socket(plain, server_hostname="localhost")


# Addresses


@pytest.mark.parametrize(
    "url",
    [
        "",
        "tcp://",
        "tcp://host",
        "tcp://host:99999",
        "udp://host:1",
        "tcp://host:1/path",
        "tcp://host:1?x",
        "tcp://me@host:1",
        "tcp://host:1#sha256=" + "a" * 64,
        "tls://host:1#sha256=abc",
        "tls://host:1#md5=" + "a" * 64,
        "shm://",
        "shm://../x",
        "shm://a.b",
        "shm://name:5",
        "host:1",
    ],
)
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(BadSettings, match="gpu = "):
        parse("gpu", url)


def test_addresses_are_read_and_tell_where_they_are() -> None:
    assert parse("gpu", "tcp://[::1]:5") == Address("tcp", "::1", 5)
    assert parse("gpu", "tcp://[::1]:5").url == "tcp://[::1]:5"
    pinned = parse("gpu", "tls://gpu.example:7#sha256=" + "ab" * 32)
    assert (pinned.host, pinned.port, pinned.pin) == ("gpu.example", 7, "ab" * 32)
    here = {"tcp://127.0.0.1:1", "zmq://localhost:1", "grpc://[::1]:1", "shm://name"}
    assert all(parse("gpu", url).stays_here for url in here)
    assert not parse("gpu", "tcp://10.0.0.1:1").hides
    assert parse("gpu", "tls://10.0.0.1:1").hides


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("tcp://10.0.0.1:1", "tls://10.0.0.1:2", True),
        ("tcp://GPU.invalid:1", "tls://gpu.invalid:2", True),
        ("shm://name", "tls://127.0.0.1:2", True),
        ("tcp://127.0.0.1:1", "tls://localhost:2", True),
        ("tcp://127.0.0.1:1", "tls://127.0.0.2:2", True),
        ("tcp://10.0.0.1:1", "tls://10.0.0.2:2", False),
        ("tcp://127.0.0.1:1", "tls://10.0.0.2:2", False),
    ],
)
def test_one_machine_is_known_by_its_names(one: str, other: str, same: bool) -> None:
    assert same_machine(parse("gpu", one), parse("masks", other)) == same


def test_one_machine_is_known_behind_two_names(monkeypatch: pytest.MonkeyPatch) -> None:
    answer = [(2, 1, 6, "", ("10.1.1.1", 0))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_: answer)
    assert same_machine(Address("tcp", "one.invalid", 1), Address("tls", "other.invalid", 2))


@pytest.mark.parametrize("scheme", ["zmq", "grpc"])
def test_missing_package_is_told_with_its_remedy(
    scheme: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(address.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(BadSettings, match=r"pip install 'cloister\[wires\]'"):
        parse("gpu", f"{scheme}://127.0.0.1:1")
    parse("gpu", "tcp://127.0.0.1:1")


def test_worker_and_server_import_no_wire_that_they_do_not_use() -> None:
    program = (
        "import sys, worker.build, worker.gpu.build\n"
        "found = {'zmq', 'msgpack', 'grpc', 'google.protobuf'} & set(sys.modules)\n"
        "mine = [name for name in sys.modules if 'split.wires' in name]\n"
        "assert not found and not mine, (found, mine)"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=170)


def test_each_wire_is_tested() -> None:
    folder = Path(shm.__file__).parent
    helpers = {"__init__", "mailbox", "zmq_hub", "zmq_session"}
    assert {path.stem for path in folder.glob("*.py")} - helpers == set(SCHEMES)
