"""The real stack as child processes: start it, watch what it says, prove that nothing is left."""

import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import IO

import pytest

START_S = 120
STOP_S = 120
MARK = "E2E_MARK"


ACCOUNTS = "CLOISTER_CONTROLLER_ACCOUNTS_FILE"
needs_curl = pytest.mark.skipif(not shutil.which("curl"), reason="curl is not installed")


class Program:
    """A running command. `lines` holds all that it and its children said.

    A controller in it begins without keys, unless the environment names a file of them.
    """

    def __init__(self, command: Sequence[str], environment: Mapping[str, str]) -> None:
        self._folder = tempfile.TemporaryDirectory()
        accounts = {ACCOUNTS: f"{self._folder.name}/accounts.sqlite"}
        self._mark = f"{MARK}={secrets.token_hex(8)}"
        name, _, value = self._mark.partition("=")
        self.lines: list[str] = []
        self._news = threading.Condition()
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, **accounts, **environment, name: value},
        )
        self._readers = [
            threading.Thread(target=self._read, args=(stream,), daemon=True)
            for stream in (self.process.stdout, self.process.stderr)
        ]
        for reader in self._readers:
            reader.start()

    def wait_for(self, pattern: str, timeout_s: float = START_S) -> re.Match[str]:
        """The first match of `pattern` in all that is said."""

        def found() -> re.Match[str] | None:
            return re.search(pattern, self.said, re.MULTILINE)

        deadline = time.monotonic() + timeout_s
        with self._news:
            while not (match := found()):
                left_s = deadline - time.monotonic()
                assert left_s > 0, f"nothing like {pattern!r} in:\n{self.said}"
                ended = self.process.poll() is not None and not any(map(_alive, self._readers))
                assert not ended, f"ended with {self.process.returncode}:\n{self.said}"
                self._news.wait(min(left_s, 0.5))
        return match

    @property
    def said(self) -> str:
        return "\n".join(self.lines)

    def pids(self) -> list[int]:
        """This program and all that it started, whoever their parents are now."""
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                marked = self._mark.encode() in (folder / "environ").read_bytes().split(b"\0")
            except OSError:
                continue
            if marked:
                found.append(int(folder.name))
        return found

    def pid_of(self, module: str) -> int:
        """The process that runs `python -m <module>`."""
        for pid in self.pids():
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            if (b"-m", module.encode()) in pairwise(words):
                return pid
        raise AssertionError(f"{module} does not run")

    def stop(self, number: signal.Signals = signal.SIGINT) -> int:
        """Signal it and return its status once it has ended."""
        self.process.send_signal(number)
        return self.process.wait(STOP_S)

    def close(self) -> None:
        """Kill what is left, and read what was said to its end."""
        self.process.kill()  # also where it has put its environment, and so the mark, away
        for pid in self.pids():
            os.kill(pid, signal.SIGKILL)
        self.process.wait()
        for reader in self._readers:
            reader.join()
        self._folder.cleanup()

    def check_nothing_is_left(self) -> None:
        deadline = time.monotonic() + STOP_S
        while left := self.pids():
            assert time.monotonic() < deadline, f"processes are left: {left}"
            time.sleep(0.02)

    def _read(self, stream: IO[str]) -> None:
        with stream:
            for line in stream:
                with self._news:
                    self.lines.append(line.rstrip("\n"))
                    self._news.notify_all()


class Stack(Program):
    """`cloister up` with the novice on free ports. `api_url` ends in /v1."""

    def __init__(self, *flags: str, environment: Mapping[str, str] | None = None) -> None:
        ports = ("--port", "0", "--worker-port", "0", "--webui-port", "0")
        command = (sys.executable, "-m", "cloister", "up", "--model", "novice", *ports, *flags)
        self.token = secrets.token_urlsafe()
        super().__init__(command, {**(environment or {}), "CLOISTER_UP_JOIN_TOKEN": self.token})
        self.started_s = time.monotonic()
        self.api_url = ""
        self.page_url = ""

    def wait_until_ready(self) -> None:
        self.wait_for(r"^Ctrl-C stops everything")
        self.ready_after_s = time.monotonic() - self.started_s
        self.api_url = self.wait_for(r"^  API +(\S+)$")[1]
        self.page_url = self.wait_for(r"^  page +(\S+)$")[1]

    @property
    def controller_url(self) -> str:
        return self.api_url.removesuffix("/v1")

    @property
    def worker_url(self) -> str:
        """The first worker's own address, read from its command line."""
        words = Path(f"/proc/{self.pid_of('worker')}/cmdline").read_text().split("\0")
        return f"http://127.0.0.1:{words[words.index('--port') + 1]}"

    @property
    def welcome(self) -> str:
        return self.said[self.said.index("Cloister is up") :]


@contextmanager
def running(program: Program) -> Iterator[Program]:
    """Afterwards nothing that `program` started is left, or the test fails."""
    try:
        yield program
        if program.process.poll() is None:
            program.stop()
        program.check_nothing_is_left()
    finally:
        program.close()


def _alive(thread: threading.Thread) -> bool:
    return thread.is_alive()
