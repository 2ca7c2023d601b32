"""Servers killed at each moment, on each wire: time is bounded, and nothing is left behind."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from tests.model.checkpoints import prompt, scattered, whole
from tests.split.machines import Meddler, at, split
from tests.split.zygote import Zygote, zygote
from worker.execution.split.frames import Payload
from worker.execution.split.wire import Header, Op

STEP = whole(prompt(30), scattered())


@pytest.fixture(scope="module")
def started(folder: Path) -> Iterator[Zygote]:
    with zygote(folder) as it:
        yield it


class Killing(Meddler):
    """Kills the server when the moment has come; `pid` is its process."""

    pid: int
    moment: str

    def send(self, header: Header, payload: Payload, timeout_s: float) -> None:
        if self.moment == "handshake":
            os.kill(self.pid, signal.SIGKILL)
        if self.moment == "calls" and header.sequence == 3:
            os.kill(self.pid, signal.SIGKILL)
        if self.moment == "answer" and header.sequence == 3:
            os.kill(self.pid, signal.SIGSTOP)  # so that no answer comes before its end
            super().send(header, payload, timeout_s)
            os.kill(self.pid, signal.SIGKILL)
            return
        super().send(header, payload, timeout_s)

    def header(self, first_byte_s: float | None, rest_s: float) -> Header:
        header = self.wire.header(first_byte_s, rest_s)
        if self.moment == "payload" and header.op is Op.PRODUCT and header.sequence == 3:
            os.kill(self.pid, signal.SIGKILL)
        return header


@pytest.mark.parametrize("moment", ["handshake", "calls", "answer", "payload"])
def test_killed_server_costs_a_deadline_at_most_and_leaves_nothing(
    folder: Path, started: Zygote, wire: str, moment: str
) -> None:
    pid, url = started.start(wire)

    def connect() -> Killing:
        killing = Killing(at(url))
        killing.pid, killing.moment = pid, moment
        return killing

    with split(folder, connect, on_loss="tee", deadline_s=2) as (decoder, execution):
        logits = decoder.forward(STEP)
        assert (execution.counts.lost, execution.counts.quarantined) == (1, 0)
        assert execution.counts.in_tee >= 6
    with split(folder, lambda: at(url, 0.1), on_loss="tee") as (decoder, execution):
        assert torch.equal(decoder.forward(STEP), logits)
        assert execution.counts.calls == 0, "it is still there"
    assert left_behind(url) == []


def test_server_that_comes_back_is_taken_up(folder: Path, started: Zygote, wire: str) -> None:
    """Another one at another place stands for the same one: a restart under a worker."""
    pid, url = started.start(wire)
    urls = [url]
    with split(folder, lambda: at(urls[0]), on_loss="tee", deadline_s=2) as (decoder, execution):
        logits = decoder.forward(STEP)
        os.kill(pid, signal.SIGKILL)
        assert torch.equal(decoder.forward(STEP), logits)
        assert execution.counts.calls < 2 * 9
        _, urls[0] = started.start(wire)
        execution._calls.gpus._endpoints[0]._down_until = 0
        before = execution.counts.calls
        assert torch.equal(decoder.forward(STEP), logits)
        assert execution.counts.calls == before + 9


def left_behind(url: str) -> list[Path]:
    """Files of this server's ring; other tests may run beside."""
    return list(Path("/dev/shm").glob(f"cloister-{url.rpartition('/')[2]}.*"))
