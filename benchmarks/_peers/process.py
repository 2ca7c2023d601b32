"""A peer's process from outside: asked with a deadline, measured, and killed for certain."""

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

ROOT = Path(__file__).parent.parent.parent
LINE_BYTES = 1 << 16


class PeerFailed(Exception):
    """A peer ended, kept silent or refused; the text says which, and what it said last."""


class Process:
    """One command in a session of its own, tied to this process; its words go to `log`.

    One that `talks` the protocol is asked over stdin and stdout.
    """

    def __init__(
        self, command: Sequence[str], threads: int, log: Path, *, talks: bool = True
    ) -> None:
        self._log = log
        with log.open("ab") as words:
            self._popen = subprocess.Popen(
                tied(command),
                stdin=subprocess.PIPE if talks else subprocess.DEVNULL,
                stdout=subprocess.PIPE if talks else words,
                stderr=words,
                env={**os.environ, **_environment(threads)},
                start_new_session=True,
            )
        self._heard = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.kill()

    @property
    def peak_bytes(self) -> int:
        """The most memory that it ever had resident (VmHWM), files that it maps included."""
        try:
            status = Path(f"/proc/{self._popen.pid}/status").read_text(encoding="utf-8")
        except OSError:
            status = ""
        for line in status.splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
        raise PeerFailed("its memory cannot be read from /proc")

    def ask(self, wanted: str, deadline_s: float, **fields: Any) -> dict[str, Any]:
        """One request of the protocol and its answer. Raises `PeerFailed`."""
        assert self._popen.stdin is not None
        try:
            self._popen.stdin.write(json.dumps({"do": wanted, **fields}).encode() + b"\n")
            self._popen.stdin.flush()
        except BrokenPipeError:
            raise self._ended() from None
        reply = json.loads(self._line(wanted, time.monotonic() + deadline_s))
        if "done" not in reply:
            raise PeerFailed(f"{wanted}: {reply['failed']}")
        answer: dict[str, Any] = reply["done"]
        return answer

    def alive(self) -> None:
        """Raise `PeerFailed` if it has ended."""
        if self._popen.poll() is not None:
            raise self._ended()

    def kill(self) -> None:
        """End it and what it started, whatever it does."""
        with contextlib.suppress(ProcessLookupError):  # it has ended by itself
            os.killpg(self._popen.pid, signal.SIGKILL)
        self._popen.wait()
        for pipe in (self._popen.stdin, self._popen.stdout):
            with contextlib.suppress(BrokenPipeError):
                if pipe is not None:
                    pipe.close()

    def _line(self, wanted: str, end_s: float) -> bytes:
        assert self._popen.stdout is not None
        while b"\n" not in self._heard:
            ready, _, _ = select.select(
                [self._popen.stdout], [], [], max(0, end_s - time.monotonic())
            )
            if not ready:
                self.kill()
                raise PeerFailed(f"{wanted}: no answer in time; killed")
            piece = os.read(self._popen.stdout.fileno(), LINE_BYTES)
            if not piece:
                raise self._ended()
            self._heard += piece
        line, _, self._heard = self._heard.partition(b"\n")
        return line

    def _ended(self) -> PeerFailed:
        status = self._popen.wait()
        return PeerFailed(f"ended with status {status}; {last_words(self._log)}")


def tied(command: Sequence[str]) -> tuple[str, ...]:
    """The command so that it dies with this process, however that ends."""
    return (sys.executable, "-P", "-m", "cloister.tether", str(os.getpid()), *command)


def last_words(log: Path) -> str:
    """Where the log is, and its last line that says something."""
    lines = log.read_text(encoding="utf-8", errors="replace").split("\n") if log.exists() else []
    said = [line.strip() for line in lines if line.strip()]
    return f"{log} ends: {said[-1][:200]}" if said else f"{log} is empty"


def _environment(threads: int) -> Mapping[str, str]:
    """One thread pool of the wanted size, whatever library makes it."""
    return {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": str(threads), "PYTHONUNBUFFERED": "1"}
