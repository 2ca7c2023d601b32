"""Ports of this machine: take one, say why one cannot be had, find free ones."""

import socket
from collections.abc import Sequence
from contextlib import ExitStack


def bind(host: str, port: int) -> socket.socket:
    """A TCP socket bound to `host`:`port`; connections are refused until it listens.

    It carries TCP's own protocol number: only then does asyncio send small pieces at once. Raises
    `OSError`.
    """
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
    family, kind, protocol, _, address = found[0]
    bound = socket.socket(family, kind, protocol)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # old connections do not count
        bound.bind(address)
    except OSError:
        bound.close()
        raise
    return bound


def obstacle(host: str, port: int) -> str | None:
    """Why nothing can listen at `host`:`port`, in words; None if something can."""
    try:
        with bind(host, port) as probe:
            probe.listen(1)
    except OSError as error:
        return error.strerror or str(error)
    return None


def free_ports(hosts: Sequence[str]) -> list[int]:
    """One free port for each of `hosts`, all different."""
    with ExitStack() as sockets:
        probes = [sockets.enter_context(bind(host, 0)) for host in hosts]
        return [probe.getsockname()[1] for probe in probes]
