"""Installs what the check needs and the machine lacks; the packages stay, nothing is started."""

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from homes.containers.words import run

NEEDS = {"dockerd": "docker.io", "iptables": "iptables", "debootstrap": "debootstrap"}
POLICY = Path("/usr/sbin/policy-rc.d")
REFUSES = "#!/bin/sh\nexit 101\n"


def missing(needs: Mapping[str, str] = NEEDS) -> list[str]:
    """The packages of programs that are not there."""
    return [package for program, package in needs.items() if not shutil.which(program)]


def install(script: Path, packages: list[str]) -> None:
    """Install Debian packages. Raises `Failed`."""
    with nothing_starts():
        run(str(script), *packages)


@contextmanager
def nothing_starts(policy: Path = POLICY) -> Iterator[None]:
    """Debian starts the services that it installs, unless this file says no.

    The engine's would change the machine's firewall and routing. A file that is there stays.
    """
    try:
        with policy.open("x") as file:
            file.write(REFUSES)
    except FileExistsError:
        yield
        return
    try:
        policy.chmod(0o755)
        yield
    finally:
        policy.unlink()
