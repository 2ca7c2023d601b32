"""Ports of this machine: why one cannot be had, and which are free."""

import socket
from collections.abc import Sequence
from contextlib import ExitStack


def obstacle(host: str, port: int) -> str | None:
    """Why nothing can listen at `host`:`port`, in words; None if something can."""
    try:
        with ExitStack() as sockets:
            _bind(host, port, sockets).listen(1)
    except OSError as error:
        return error.strerror or str(error)
    return None


def free_ports(hosts: Sequence[str]) -> list[int]:
    """One free port for each of `hosts`, all different."""
    with ExitStack() as sockets:
        probes = [_bind(host, 0, sockets) for host in hosts]
        return [probe.getsockname()[1] for probe in probes]


def _bind(host: str, port: int, sockets: ExitStack) -> socket.socket:
    family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    probe = sockets.enter_context(socket.socket(family, kind))
    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # old connections do not count
    probe.bind(address)
    return probe
