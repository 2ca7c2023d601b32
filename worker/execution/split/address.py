"""Where a GPU server or a mask helper is, and by which wire: `tcp://host:port`, `shm://name`, ...

Nothing of a wire is imported before an address names it: what a worker does not use is not needed.
"""

import importlib
import importlib.util
import re
import socket
import ssl
from contextlib import suppress
from dataclasses import dataclass, replace
from ipaddress import ip_address
from pathlib import Path
from types import ModuleType
from typing import Literal, get_args
from urllib.parse import urlsplit

from cloister.errors import BadSettings
from worker.execution.split.pipe import Listener, Pipe

Scheme = Literal["tcp", "tls", "shm", "zmq", "grpc"]
SCHEMES: tuple[Scheme, ...] = get_args(Scheme)
NEEDS = {"zmq": ("zmq", "msgpack"), "grpc": ("grpc",)}
NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
PIN = re.compile(r"sha256=([0-9a-f]{64})")


@dataclass(frozen=True, slots=True)
class Identity:
    """Who a listener is: files of a certificate chain and its key, in PEM."""

    certificate: Path
    key: Path


@dataclass(frozen=True, slots=True)
class Address:
    """A place, and for tls what vouches for who is there: `pin`, else `authorities`, else
    the system's authorities. For shm, `host` is the ring's name."""

    scheme: Scheme
    host: str
    port: int = 0
    pin: str = ""  # SHA-256 of the certificate, in hexadecimal
    authorities: Path | None = None

    @property
    def url(self) -> str:
        if self.scheme == "shm":
            return f"shm://{self.host}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"

    @property
    def stays_here(self) -> bool:
        """Does nothing that is sent there leave this machine?"""
        return self.scheme == "shm" or is_loopback(self.host)

    @property
    def hides(self) -> bool:
        """Can nobody on the way read what is sent there?"""
        return self.scheme == "tls" or self.stays_here

    def connect(self, timeout_s: float) -> Pipe:
        """Raises `OSError`."""
        pipe: Pipe = _adapter(self.scheme).connect(self, timeout_s)
        return pipe

    def listen(self, identity: Identity | None) -> Listener:
        """Take the place; `identity` is for tls. Raises `OSError`, `BadSettings`."""
        listener: Listener = _adapter(self.scheme).listen(self, identity)
        return listener

    def at(self, port: int) -> "Address":
        """The same place with its real port."""
        return replace(self, port=port)


def parse(name: str, url: str, authorities: Path | None = None) -> Address:
    """Read an address. Raises `BadSettings`, naming the setting, or the package that it lacks."""
    address = _parsed(url)
    if address is None:
        raise BadSettings(
            f"{name} = {url!r} must be an address such as tcp://127.0.0.1:50051, "
            "tls://host:port#sha256=..., zmq://host:port, grpc://host:port or shm://name"
        )
    _check_installed(name, address.scheme)
    if authorities is not None:
        _check_readable(authorities)
    return replace(address, authorities=authorities)


def is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def same_machine(one: Address, other: Address) -> bool:
    """Do both addresses lead to one machine, as far as names can tell? All loopback is one."""
    if one.stays_here and other.stays_here:
        return True
    return not _hosts(one).isdisjoint(_hosts(other))


def _parsed(url: str) -> Address | None:
    with suppress(ValueError):
        parts = urlsplit(url)
        scheme = next((known for known in SCHEMES if known == parts.scheme), None)
        if scheme is None or parts.path or parts.query or parts.username is not None:
            return None
        if scheme == "shm":
            name = NAME.fullmatch(parts.netloc)
            return Address(scheme, name[0]) if name and not parts.fragment else None
        pin = PIN.fullmatch(parts.fragment) if scheme == "tls" else None
        if parts.hostname and parts.port is not None and bool(pin) == bool(parts.fragment):
            return Address(scheme, parts.hostname, parts.port, pin[1] if pin else "")
    return None


def _check_installed(name: str, scheme: Scheme) -> None:
    missing = [need for need in NEEDS.get(scheme, ()) if importlib.util.find_spec(need) is None]
    if missing:
        raise BadSettings(
            f"{name}: {scheme}:// needs {' and '.join(missing)}, which are not installed: "
            "pip install 'cloister[wires]'"
        )


def _check_readable(authorities: Path) -> None:
    try:
        ssl.create_default_context(cafile=authorities)
    except OSError as error:
        reason = error.strerror or str(error)
        raise BadSettings(f"tls_ca = {str(authorities)!r} cannot be used: {reason}") from None


def _adapter(scheme: Scheme) -> ModuleType:
    return importlib.import_module(f"worker.execution.split.wires.{scheme}")


def _hosts(address: Address) -> set[str]:
    """The host's name and all its addresses. A name that is unknown now has no addresses."""
    found = {address.host.lower()}
    with suppress(OSError):
        found |= {str(place[4][0]) for place in socket.getaddrinfo(address.host, None)}
    return found
