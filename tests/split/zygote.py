"""A program that loads a model once and forks a GPU server for each address that it reads.

A fresh process would import PyTorch for seconds; tests that kill servers need many of them.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from tests.split.machines import identity, place, shelf_of
from worker.execution.split.address import Identity, parse
from worker.gpu.server import Server


class Zygote:
    """Starts GPU servers as processes."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    def start(self, wire: str) -> tuple[int, str]:
        """A server's process id and address."""
        made = identity(wire)
        files = (made.certificate, made.key) if made else ()
        self._process.stdin.write(" ".join(map(str, (place(wire), *files))) + "\n")
        self._process.stdin.flush()
        pid, url = self._process.stdout.readline().split()
        return int(pid), url


@contextmanager
def zygote(folder: Path) -> Iterator[Zygote]:
    command = [sys.executable, "-m", "tests.split.zygote", str(folder)]
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
        cwd=Path(__file__).parents[2],
    )
    try:
        yield Zygote(process)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def main(folder: str) -> None:
    torch.set_num_threads(1)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    shelf = shelf_of(Path(folder))
    for line in sys.stdin:
        url, *files = line.split()
        if os.fork() == 0:
            listener = parse("listen", url).listen(Identity(*map(Path, files)) if files else None)
            server = Server(shelf, listener)
            sys.stdout.write(f"{os.getpid()} {server.url}\n")
            sys.stdout.flush()
            server.run()


if __name__ == "__main__":
    main(sys.argv[1])
