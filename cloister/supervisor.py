"""Child processes: start them, wait until they answer, start again what dies, stop them all."""

import asyncio
import os
import signal
import sys
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Self

import httpx

Log = Callable[[str, str], None]
"""Takes a part's name and one line of it."""

GRACE_S = 10.0  # from TERM to KILL; a part lets running answers go on for half of it
POLL_S = 0.1
FIRST_DELAY_S = 0.5
LONGEST_DELAY_S = 30.0
HEALTHY_AFTER_S = 60.0  # a part that lived as long starts again without a long delay
TAIL_LINES = 10


@dataclass(frozen=True, slots=True)
class Part:
    """A program to run. It is ready when GET `ready_url` answers 200."""

    name: str
    command: tuple[str, ...]
    ready_url: str
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)


class PartFailed(Exception):
    """A part ended or kept silent before it was ready."""


class Child:
    """One running process of a part, in a session of its own and tied to ours."""

    def __init__(self, part: Part, process: asyncio.subprocess.Process, log: Log) -> None:
        self.part = part
        self.tail: deque[str] = deque(maxlen=TAIL_LINES)
        self._process = process
        self._log = log
        self._reading = asyncio.create_task(self._read())

    @classmethod
    async def start(cls, part: Part, log: Log) -> Self:
        """Start the part's command; its output goes to `log` line by line."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-m", "cloister.tether", str(os.getpid())),
            *part.command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env={**os.environ, "PYTHONUNBUFFERED": "1", **part.environment},
            start_new_session=True,
            limit=2**20,
        )
        return cls(part, process, log)

    @property
    def status(self) -> int | None:
        """Exit status, negative for a signal; None while it runs."""
        return self._process.returncode

    @property
    def pid(self) -> int:
        return self._process.pid

    async def wait(self) -> int:
        """Wait for its end and its last line."""
        status = await self._process.wait()
        await asyncio.wait([self._reading], timeout=1)  # a grandchild may hold the pipe
        return status

    def signal(self, number: signal.Signals) -> None:
        """Signal the process and all that it started."""
        try:
            os.killpg(self.pid, number)
        except ProcessLookupError:
            return

    async def _read(self) -> None:
        assert self._process.stdout is not None
        while True:
            try:
                line = await self._process.stdout.readline()
            except ValueError:  # longer than the limit: not a line worth showing
                continue
            if not line:
                return
            text = line.decode(errors="replace").rstrip()
            self.tail.append(text)
            self._log(self.part.name, text)


class Stack:
    """Several parts, run together."""

    def __init__(
        self, parts: Sequence[Part], log: Log, first_delay_s: float = FIRST_DELAY_S
    ) -> None:
        self._parts = parts
        self._log = log
        self._first_delay_s = first_delay_s
        self._children: dict[str, Child] = {}

    async def start(self, timeout_s: float) -> None:
        """Start all parts and return when all are ready. Raises `PartFailed`."""
        for part in self._parts:
            await self._start(part)
        async with httpx.AsyncClient(trust_env=False, timeout=5) as client:
            children = self._children.values()
            waits = [asyncio.create_task(_ready(child, client, timeout_s)) for child in children]
            try:
                await asyncio.gather(*waits)
            finally:
                for wait in waits:
                    wait.cancel()

    async def keep(self) -> None:
        """Start again whatever dies, for ever."""
        await asyncio.gather(*(self._keep(part) for part in self._parts))

    async def stop(self) -> None:
        """TERM, a while, KILL: afterwards no child is left, however often we are cancelled.

        The first part goes last, so that the others can take their leave of it.
        """
        children = list(self._children.values())
        try:
            await _end(children[1:])
            await _end(children[:1])
        finally:
            await _kill(children)

    async def _start(self, part: Part) -> Child:
        child = self._children[part.name] = await Child.start(part, self._log)
        return child

    async def _keep(self, part: Part) -> None:
        delay_s = self._first_delay_s
        while True:
            started = time.monotonic()
            status = await self._children[part.name].wait()
            if time.monotonic() - started > HEALTHY_AFTER_S:
                delay_s = self._first_delay_s
            self._log("up", f"{part.name} {describe(status)}; starting it again in {delay_s:g} s")
            await asyncio.sleep(delay_s)
            delay_s = min(2 * delay_s, LONGEST_DELAY_S)
            await self._start(part)


def describe(status: int) -> str:
    """An exit status in words."""
    if status < 0:
        return f"was killed by {signal.Signals(-status).name}"
    return f"ended with status {status}"


async def _end(children: Sequence[Child]) -> None:
    for child in children:
        child.signal(signal.SIGTERM)
    await _gone(children)


async def _kill(children: Sequence[Child]) -> None:
    for child in children:
        child.signal(signal.SIGKILL)
    await _gone(children)


async def _gone(children: Sequence[Child]) -> None:
    ends = [asyncio.create_task(child.wait()) for child in children]
    if ends:
        await asyncio.wait(ends, timeout=GRACE_S)


async def _ready(child: Child, client: httpx.AsyncClient, timeout_s: float) -> None:
    part, deadline, answer = child.part, time.monotonic() + timeout_s, "nothing"
    while time.monotonic() < deadline:
        if child.status is not None:
            await child.wait()
            lines = "".join(f"\n  {line}" for line in child.tail)
            raise PartFailed(f"{part.name} {describe(child.status)} before it was ready{lines}")
        try:
            response = await client.get(part.ready_url)
            if response.status_code == httpx.codes.OK:
                return
            answer = str(response.status_code)
        except httpx.TransportError:
            answer = "nothing"
        await asyncio.sleep(POLL_S)
    raise PartFailed(
        f"{part.name} is not ready after {timeout_s:g} s: {part.ready_url} answers {answer}"
    )
