"""The thread that owns a ZeroMQ socket, which only one may use, for all sessions on it."""

import socket
import threading
import time
from collections import deque
from contextlib import suppress
from functools import partial
from queue import Full, Queue

import zmq

from worker.execution.split.wires.zmq_session import (
    PIECE_BYTES,
    WINDOW_BYTES,
    Envelope,
    Say,
    Zmq,
    packed,
    unpacked,
)

BATCH = 64  # envelopes taken before others are sent
LOOK_MS = 2000  # between looks whether peers are still there
LINGER_MS = 200


class Hub:
    """A socket of `kind`, its thread and its sessions.

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

    def session(self, peer: bytes) -> Zmq:
        """A session with a peer, not yet known to the hub."""
        return Zmq(partial(self.post, peer), partial(self.leave, peer))

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
                self.socket.send_multipart([*address, packed(envelope)], zmq.NOBLOCK)
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
        session = self.session(peer)
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
