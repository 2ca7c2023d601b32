"""Bytes over ZeroMQ: a ROUTER at the server, a DEALER at the worker."""

from contextlib import suppress
from queue import Empty, Queue

import zmq

from cloister.ports import bind
from worker.execution.split.address import Address, Identity
from worker.execution.split.wires.zmq_hub import Hub
from worker.execution.split.wires.zmq_session import Say, Zmq

BACKLOG = 64  # sessions that wait to be accepted


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
    session = hub.sessions[b""] = hub.session(b"")
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


def _endpoint(address: Address) -> str:
    return address.url.replace("zmq://", "tcp://", 1)
