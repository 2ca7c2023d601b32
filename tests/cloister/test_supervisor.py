"""Child processes: ready or told why, started again, and never left behind."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from cloister import supervisor
from cloister.ports import free_ports
from cloister.supervisor import Part, PartFailed, Stack

FAKE = str(Path(__file__).with_name("fake_part.py"))


class Lines:
    """A log that can be waited on."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self._news = asyncio.Event()

    def __call__(self, name: str, line: str) -> None:
        self.said.append(f"{name}: {line}")
        self._news.set()

    async def until(self, text: str, count: int = 1) -> str:
        """The `count`th line that holds `text`."""
        async with asyncio.timeout(20):
            while len(found := [line for line in self.said if text in line]) < count:
                self._news.clear()
                await self._news.wait()
        return found[count - 1]


def fake(*words: str, name: str = "fake") -> Part:
    (port,) = free_ports(["127.0.0.1"])
    command = (sys.executable, FAKE, str(port), *words)
    return Part(name, command, f"http://127.0.0.1:{port}/ready")


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


async def until_dead(pid: int) -> None:
    async with asyncio.timeout(20):
        while is_alive(pid):
            await asyncio.sleep(0.02)


@asynccontextmanager
async def started(*parts: Part) -> AsyncIterator[tuple[Lines, Stack]]:
    lines = Lines()
    stack = Stack(parts, lines, first_delay_s=0.01)
    try:
        await stack.start(timeout_s=20)
        yield lines, stack
    finally:
        await stack.stop()


def pid_in(line: str) -> int:
    return int(line.split("of pid ")[1].split()[0])


async def test_parts_are_ready_and_stop_leaves_none() -> None:
    async with started(fake(name="a"), fake(name="b")) as (lines, _):
        pids = [pid_in(await lines.until(f"{name}: fake part")) for name in "ab"]
        assert all(map(is_alive, pids))
    assert not any(map(is_alive, pids))


async def test_part_that_ends_early_says_why() -> None:
    with pytest.raises(PartFailed, match=r"(?s)fake ended with status 3.*\n  this is why"):
        async with started(fake("die", "3")):
            pass


async def test_part_that_ends_early_stops_the_others() -> None:
    lines = Lines()
    stack = Stack([fake(name="good"), fake("die", "1", name="bad")], lines)
    with pytest.raises(PartFailed):
        await stack.start(timeout_s=20)
    pid = pid_in(await lines.until("good: fake part"))
    await stack.stop()
    await until_dead(pid)


async def test_part_that_never_answers_is_told_with_its_address() -> None:
    silent = Part("quiet", ("sleep", "60"), "http://127.0.0.1:9/ready")
    stack = Stack([silent], Lines())
    try:
        with pytest.raises(
            PartFailed, match=r"quiet is not ready after 0.3 s: .*9/ready answers no"
        ):
            await stack.start(timeout_s=0.3)
    finally:
        await stack.stop()


async def test_part_that_dies_later_is_started_again() -> None:
    async with started(fake()) as (lines, stack):
        keeping = asyncio.create_task(stack.keep())
        for round_ in (1, 2):
            os.kill(pid_in(await lines.until("fake part", round_)), signal.SIGKILL)
            again = await lines.until("starting it again", round_)
            assert again.startswith("up: fake was killed by SIGKILL; starting it again in 0.0")
        await lines.until("fake part", 3)
        keeping.cancel()


async def test_stubborn_part_and_its_children_are_killed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(supervisor, "GRACE_S", 0.2)
    record = tmp_path / "pid"
    async with started(fake("stubborn", "child", str(record))) as (lines, _):
        pids = [pid_in(await lines.until("fake part")), int(record.read_text())]
    for pid in pids:
        await until_dead(pid)


async def test_stop_that_is_cancelled_still_kills() -> None:
    async with started(fake("stubborn")) as (lines, stack):
        pid = pid_in(await lines.until("fake part"))
        stopping = asyncio.create_task(stack.stop())
        await asyncio.sleep(0)
        stopping.cancel()
        await asyncio.wait([stopping])
        await until_dead(pid)


def test_tethered_command_dies_with_its_parent() -> None:
    program = (
        "import os, subprocess, sys, time;"
        "tether = [sys.executable, '-m', 'cloister.tether', str(os.getpid())];"
        "child = subprocess.Popen([*tether, 'sleep', '600']);"
        "print(child.pid, flush=True); time.sleep(600)"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        _until_command(pid, "sleep")
        parent.kill()
    asyncio.run(until_dead(pid))


def test_tether_of_a_dead_parent_runs_nothing(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    command = [sys.executable, "-m", "cloister.tether", "1", "touch", str(mark)]
    assert subprocess.run(command, check=False).returncode == 1
    assert not mark.exists()


def _until_command(pid: int, word: str) -> None:
    while word not in Path(f"/proc/{pid}/comm").read_text():
        assert is_alive(pid)
