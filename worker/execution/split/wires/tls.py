"""TLS 1.3 over TCP: for what is readable on the way, such as `plain`, and for all of a helper's.

Who listens is known by the SHA-256 of its certificate where the address has one, else by the
authorities that the worker was given, or by the system's.
"""

import hmac
import select
import socket
import ssl
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from hashlib import sha256

from cloister.errors import BadSettings
from worker.execution.split.address import Address, Identity
from worker.execution.split.wires.tcp import TcpListener, prepared, wait

PIECE_BYTES = 2**18  # at a time, so that a write never holds the lock for long


class Tls:
    """A connected socket, its handshake done by whoever first reads or writes.

    OpenSSL takes one caller at a time, so each step holds a lock; waiting does not.
    """

    def __init__(self, secured: ssl.SSLSocket) -> None:
        self._socket = secured
        self._lock = threading.Lock()

    def write(self, pieces: Sequence[memoryview], deadline: float) -> None:
        for piece in pieces:
            for start in range(0, len(piece), PIECE_BYTES):
                self._write(piece[start : start + PIECE_BYTES], deadline)

    def read(self, place: memoryview, deadline: float | None) -> int:
        while True:
            try:
                with self._lock:
                    count = self._socket.recv_into(place)
            except (ssl.SSLWantReadError, ssl.SSLWantWriteError) as want:
                wait(self._socket, _event(want), deadline)
                continue
            if not count:
                raise ConnectionResetError("the peer closed the connection")
            return count

    def shut(self) -> None:
        with suppress(OSError):
            socket.socket.shutdown(self._socket, socket.SHUT_RDWR)

    def close(self) -> None:
        self.shut()
        self._socket.close()

    def _write(self, piece: memoryview, deadline: float) -> None:
        while len(piece):
            try:
                with self._lock:
                    sent = self._socket.send(piece)
            except (ssl.SSLWantReadError, ssl.SSLWantWriteError) as want:
                wait(self._socket, _event(want), deadline)
                continue
            piece = piece[sent:]


def connect(address: Address, timeout_s: float) -> Tls:
    deadline = time.monotonic() + timeout_s
    connected = socket.create_connection((address.host, address.port), timeout_s)
    secured = _secured(_trusting(address), connected, server_hostname=address.host)
    try:
        _shake_hands(secured, deadline)
        _check_pin(secured, address.pin)
    except BaseException:
        secured.close()
        raise
    return Tls(secured)


def listen(address: Address, identity: Identity | None) -> TcpListener:
    """Handshakes happen in the sessions, so that none holds up `accept`."""
    if identity is None:
        raise BadSettings("tls:// needs a certificate: give --tls-cert and --tls-key")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    try:
        context.load_cert_chain(identity.certificate, identity.key)
    except OSError as error:  # ssl.SSLError is one
        reason = error.strerror or str(error)
        raise BadSettings(f"tls_cert, tls_key: they cannot be used: {reason}") from None
    return TcpListener(address, lambda it: Tls(_secured(context, it, server_side=True)))


def _trusting(address: Address) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    if address.pin:  # the pin says it all; it is checked before anything is sent
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    elif address.authorities is None:
        context.load_default_certs()
    else:
        context.load_verify_locations(address.authorities)
    return context


def _secured(
    context: ssl.SSLContext,
    connected: socket.socket,
    *,
    server_side: bool = False,
    server_hostname: str | None = None,
) -> ssl.SSLSocket:
    return context.wrap_socket(
        prepared(connected),
        server_side=server_side,
        server_hostname=server_hostname,
        do_handshake_on_connect=False,
    )


def _shake_hands(secured: ssl.SSLSocket, deadline: float) -> None:
    while True:
        try:
            secured.do_handshake()
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError) as want:
            wait(secured, _event(want), deadline)
            continue
        return


def _check_pin(secured: ssl.SSLSocket, pin: str) -> None:
    certificate = secured.getpeercert(binary_form=True) or b""
    if pin and not hmac.compare_digest(sha256(certificate).hexdigest(), pin):
        raise ConnectionAbortedError("the certificate is not the pinned one")


def _event(want: ssl.SSLError) -> int:
    return select.POLLIN if isinstance(want, ssl.SSLWantReadError) else select.POLLOUT
