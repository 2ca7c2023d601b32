"""A Docker engine of its own: Debian's daemon, with all its files in one folder.

It leaves the machine's firewall, routing and any other daemon alone: containers reach each other,
their published ports are on loopback, and builds use the host's network.
"""

import os
import resource
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from homes.containers import base
from homes.containers.words import Failed, run

START_S = 60.0
STOP_S = 60.0
PAUSE_S = 0.2
NEWER = "trixie"
"""Debian's release whose docker-compose knows `up --wait`; its one program runs on older ones."""


@contextmanager
def engine(folder: Path) -> Iterator[dict[str, str]]:
    """Start the daemon; the value is the environment in which `docker` speaks to it.

    When the block ends, the daemon is stopped.
    """
    environment = settings(folder)
    _compose(folder, environment)
    with (folder / "dockerd.log").open("wb") as log:
        daemon = subprocess.Popen(words(folder), stdout=log, stderr=log, start_new_session=True)
        try:
            _wait(daemon, environment, folder)
            yield environment
        finally:
            _stop(daemon)


def settings(folder: Path) -> dict[str, str]:
    """The environment of `docker`: the distribution's client, our daemon, nothing of the user's."""
    ours = {
        "PATH": f"/usr/sbin:/usr/bin:/sbin:/bin:{os.environ['PATH']}",
        "DOCKER_HOST": f"unix://{folder}/docker.sock",
        "DOCKER_CONFIG": str(folder / "docker"),
        "DOCKER_BUILDKIT": "1",
    }
    kept = {name: value for name, value in os.environ.items() if not name.startswith("DOCKER_")}
    return {**kept, **ours}


def words(folder: Path) -> list[str]:
    """The daemon's command line."""
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[1]  # nobody may have more than we have
    return [
        "dockerd",
        f"--host=unix://{folder}/docker.sock",
        f"--data-root={folder}/data",
        f"--exec-root={folder}/exec",
        f"--pidfile={folder}/docker.pid",
        f"--default-ulimit=nofile={files}:{files}",
        "--bridge=none",
        "--iptables=false",
        "--ip-forward=false",
    ]


def _compose(folder: Path, environment: dict[str, str]) -> None:
    """See to it that there is `docker compose`: the machine's, or else Debian's, unpacked here."""
    plugins = folder / "docker" / "cli-plugins"
    plugins.mkdir(parents=True)
    try:
        run("docker", "compose", "version", environment=environment)
    except Failed:
        _unpack(folder, plugins)


def _unpack(folder: Path, plugins: Path) -> None:
    apt = folder / "apt"
    for name in ("lists/partial", "cache/archives/partial"):
        (apt / name).mkdir(parents=True)
    sources = apt / "sources.list"
    key = "/usr/share/keyrings/debian-archive-keyring.gpg"
    sources.write_text(f"deb [signed-by={key}] {base.mirror()} {NEWER} main\n")
    places = (f"Dir::Etc::SourceList={sources}", "Dir::Etc::SourceParts=/dev/null")
    state = (f"Dir::State::Lists={apt}/lists", f"Dir::Cache={apt}/cache", "APT::Sandbox::User=root")
    get = ["apt-get", "-qq", *(f"-o{option}" for option in (*places, *state))]
    run(*get, "update")
    run(*get, "download", "docker-compose", folder=apt)
    (package,) = apt.glob("docker-compose_*.deb")
    run("dpkg", "-x", str(package), str(apt / "package"))
    program = apt / "package/usr/libexec/docker/cli-plugins/docker-compose"
    shutil.copy(program, plugins)


def _wait(daemon: subprocess.Popen[bytes], environment: dict[str, str], folder: Path) -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline and daemon.poll() is None:
        try:
            run("docker", "version", environment=environment)
        except Failed:
            time.sleep(PAUSE_S)
        else:
            return
    last = (folder / "dockerd.log").read_text(errors="replace").splitlines()[-10:]
    raise Failed("\n  ".join(["the Docker daemon does not start", *last]))


def _stop(daemon: subprocess.Popen[bytes]) -> None:
    """TERM, which stops its containers and containerd too; KILL for all of them if it hangs."""
    daemon.terminate()
    try:
        daemon.wait(STOP_S)
    except subprocess.TimeoutExpired:
        os.killpg(daemon.pid, signal.SIGKILL)
        daemon.wait()


def unmount(folder: Path) -> None:
    """Take away what is mounted in `folder`, by a daemon or by debootstrap, if it was cut short."""
    for place in reversed(mounts(folder, Path("/proc/mounts").read_text())):
        run("umount", "--lazy", place)


def mounts(folder: Path, table: str) -> list[str]:
    """The places in `folder` where something is mounted, in the order of /proc/mounts."""
    places = [line.split(" ")[1] for line in table.splitlines()]
    return [place for place in places if Path(place).is_relative_to(folder)]
