"""Bytes over ZeroMQ in msgpack envelopes: ROUTER at the server, DEALER at the worker.

ZeroMQ tells neither when a peer comes or goes nor when it reads too slowly, so envelopes say it:
`OPEN` begins a session (the server answers with the same), `DATA` has bytes, `CREDIT` allows as
many more, `CLOSE` ends it. Whoever sends more than it was allowed is cut off, so memory stays
bounded. A socket belongs to one thread, here called the hub.
"""

import socket
import threading
import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from enum import IntEnum
from queue import Empty, Full, Queue

import msgpack
import zmq

from cloister.ports import bind
from worker.execution.split.address import Address, Identity
from worker.execution.split.wires.mailbox import Mailbox

PIECE_BYTES = 2**18
WINDOW_BYTES = 4 * 2**20  # sent and not yet read, in each direction of a session
BACKLOG = 64  # sessions that wait to be accepted
BATCH = 64  # envelopes taken before others are sent
LOOK_MS = 2000  # between looks whether peers are still there
LINGER_MS = 200
Envelope = tuple["Say", bytes | int]


class Say(IntEnum):
    OPEN = 1
    DATA = 2
    CREDIT = 3
    CLOSE = 4


class Zmq:
    """One session on a hub's socket."""

    def __init__(self, hub: "Hub", peer: bytes) -> None:
        self.opened = threading.Event()
        self._hub = hub
        self._peer = peer
        self._arrived = Mailbox(WINDOW_BYTES)
        self._changed = threading.Condition()
        self._credit_bytes = WINDOW_BYTES
        self._read_bytes = 0  # not yet told as credit
        self._ended = False

    def write(self, pieces: Sequence[memoryview], deadline: float) -> None:
        for piece in pieces:
            for start in range(0, len(piece), PIECE_BYTES):
                part = bytes(piece[start : start + PIECE_BYTES])
                self._spend(len(part), deadline)
                self._hub.post(self._peer, (Say.DATA, part))

    def read(self, place: memoryview, deadline: float | None) -> int:
        count = self._arrived.read(place, deadline)
        self._read_bytes += count
        if self._read_bytes >= WINDOW_BYTES // 2:
            self._hub.post(self._peer, (Say.CREDIT, self._read_bytes))
            self._read_bytes = 0
        return count

    def shut(self) -> None:
        self._hub.post(self._peer, (Say.CLOSE, 0))
        self.ended()

    def close(self) -> None:
        self.shut()
        self._hub.leave(self._peer)

    def ended(self) -> None:
        """Told by the hub: nothing more comes or goes."""
        self._arrived.end()
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def hear(self, say: Say, value: bytes | int) -> bool:
        """Take an envelope; false if the peer breaks the rules."""
        if say is Say.DATA:
            return isinstance(value, bytes) and self._arrived.offer(value)
        if say is Say.CREDIT:
            return isinstance(value, int) and self._earn(value)
        if say is Say.CLOSE:
            self.ended()
        elif self.opened.is_set():
            return False  # once is enough
        self.opened.set()
        return True

    def wait_until_open(self, timeout_s: float) -> None:
        """Raises `OSError`."""
        if not self.opened.wait(timeout_s):
            raise TimeoutError("no server answers")
        if self._ended:
            raise ConnectionRefusedError("the server has no room")

    def _spend(self, size_bytes: int, deadline: float) -> None:
        left_s = max(0.0, deadline - time.monotonic())
        with self._changed:
            if not self._changed.wait_for(
                lambda: self._ended or self._credit_bytes >= size_bytes, left_s
            ):
                raise TimeoutError("the peer is too slow")
            if self._ended:
                raise ConnectionResetError("the connection has ended")
            self._credit_bytes -= size_bytes

    def _earn(self, size_bytes: int) -> bool:
        with self._changed:
            if not 0 <= size_bytes <= WINDOW_BYTES - self._credit_bytes:
                return False
            self._credit_bytes += size_bytes
            self._changed.notify_all()
        return True


class Hub:
    """The thread that owns a socket, and the sessions on it.

    With `backlog` new peers may open sessions, which wait there; a worker's hub has one peer.
    """

    def __init__(self, kind: int, backlog: "Queue[Zmq | None] | None") -> None:
        self._context = zmq.Context()
        self.socket = self._context.socket(kind)
        self.socket.setsockopt(zmq.LINGER, LINGER_MS)
        self.socket.setsockopt(zmq.IPV6, 1)
        self.socket.setsockopt(zmq.MAXMSGSIZE, PIECE_BYTES + 64)
        self.socket.setsockopt(zmq.RCVHWM, 2 * WINDOW_BYTES // PIECE_BYTES)
        self.socket.setsockopt(zmq.SNDHWM, 0)  # credit bounds it
        self.socket.setsockopt(zmq.HEARTBEAT_IVL, 10_000)
        self.socket.setsockopt(zmq.HEARTBEAT_TIMEOUT, 30_000)
        self.sessions: dict[bytes, Zmq] = {}
        self._backlog = backlog
        self._posted: deque[tuple[bytes, Envelope]] = deque()
        self._bell, self._heard = socket.socketpair()
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="zmq", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def post(self, peer: bytes, envelope: Envelope) -> None:
        """Send it soon."""
        self._posted.append((peer, envelope))
        self._ring()

    def leave(self, peer: bytes) -> None:
        """A session is over; a worker's hub ends with its only one."""
        self.sessions.pop(peer, None)
        self._ring()
        if self._backlog is None:
            self.close()
            self._thread.join()

    def close(self) -> None:
        """End as soon as no session is left."""
        self._closed.set()
        self._ring()

    def _ring(self) -> None:
        with suppress(OSError):  # full: it has been rung already; closed: nobody listens
            self._bell.send(b"!", socket.MSG_DONTWAIT)

    def _run(self) -> None:
        poller, monitor = zmq.Poller(), self.socket.get_monitor_socket(zmq.EVENT_DISCONNECTED)
        for place in (self.socket, monitor, self._heard):
            poller.register(place, zmq.POLLIN)
        looked = time.monotonic()
        while self.sessions or not self._closed.is_set():
            ready = dict(poller.poll(LOOK_MS))
            if self._heard.fileno() in ready:
                self._heard.recv(4096)
            self._send_posted()
            self._receive()
            is_lost = monitor in ready and bool(monitor.recv_multipart())
            if is_lost or time.monotonic() - looked > LOOK_MS / 1000:
                looked = time.monotonic()
                self._look(is_lost=is_lost)
        self._send_posted()
        monitor.close()
        self._give_back()

    def _send_posted(self) -> None:
        while self._posted:
            peer, envelope = self._posted.popleft()
            address = [peer] if peer else []
            try:
                self.socket.send_multipart([*address, msgpack.packb(envelope)], zmq.NOBLOCK)
            except zmq.ZMQError:  # nobody is there any more
                self._end(peer)

    def _receive(self) -> None:
        for _ in range(BATCH):
            try:
                *sender, raw = self.socket.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return
            self._hear(sender[0] if sender else b"", raw)
        self._ring()  # there may be more

    def _hear(self, peer: bytes, raw: bytes) -> None:
        say, value = unpacked(raw)
        session = self.sessions.get(peer)
        if session is None:
            if say is Say.CLOSE or (say is Say.OPEN and self._admit(peer)):
                return
        elif session.hear(say, value):
            return
        self._end(peer)
        self.post(peer, (Say.CLOSE, 0))

    def _admit(self, peer: bytes) -> bool:
        session = Zmq(self, peer)
        session.opened.set()
        if self._backlog is None or self._closed.is_set():
            return False
        try:
            self._backlog.put_nowait(session)
        except Full:
            return False
        self.sessions[peer] = session
        self.post(peer, (Say.OPEN, 0))
        return True

    def _look(self, *, is_lost: bool) -> None:
        """A router learns that a peer has gone when it sends; a worker has but one to lose."""
        for peer in list(self.sessions):
            if peer:
                self.post(peer, (Say.CREDIT, 0))
            elif is_lost:
                self._end(peer)

    def _end(self, peer: bytes) -> None:
        if session := self.sessions.get(peer):
            session.ended()

    def _give_back(self) -> None:
        self.socket.disable_monitor()
        self.socket.close()
        self._context.term()
        self._bell.close()
        self._heard.close()


class ZmqListener:
    """A bound router."""

    def __init__(self, address: Address) -> None:
        self._backlog: Queue[Zmq | None] = Queue(BACKLOG)
        self._hub = Hub(zmq.ROUTER, self._backlog)
        self._hub.socket.setsockopt(zmq.ROUTER_MANDATORY, 1)
        with bind(address.host, address.port) as probe:  # a name may be an address here too
            host, port = probe.getsockname()[:2]
        try:
            self._hub.socket.bind(_endpoint(Address("zmq", host, port)))
        except zmq.ZMQError as error:
            raise OSError(error.errno, error.strerror) from None
        self.url = address.at(port).url

    def start(self) -> None:
        self._hub.start()

    def accept(self) -> Zmq:
        session = self._backlog.get()
        if session is None:
            raise ConnectionAbortedError("closed")
        return session

    def close(self) -> None:
        self._hub.close()
        with suppress(Empty):
            while waiting := self._backlog.get_nowait():
                waiting.close()
        self._backlog.put(None)


def connect(address: Address, timeout_s: float) -> Zmq:
    hub = Hub(zmq.DEALER, None)
    hub.socket.connect(_endpoint(address))
    session = hub.sessions[b""] = Zmq(hub, b"")
    hub.post(b"", (Say.OPEN, 0))
    hub.start()
    try:
        session.wait_until_open(timeout_s)
    except OSError:
        session.close()
        raise
    return session


def listen(address: Address, identity: Identity | None) -> ZmqListener:
    del identity
    return ZmqListener(address)


def unpacked(raw: bytes) -> Envelope:
    """An envelope, or one that nobody may send."""
    limits = {"max_array_len": 2, "max_map_len": 0, "max_str_len": 0, "max_ext_len": 0}
    try:
        say, value = msgpack.unpackb(raw, **limits)
        if isinstance(value, bytes | int):
            return Say(say), value
    except (ValueError, TypeError):
        pass
    return Say.DATA, -1


def _endpoint(address: Address) -> str:
    return address.url.replace("zmq://", "tcp://", 1)
