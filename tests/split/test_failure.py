"""Servers that lie, die or stall: nothing wrong is used, and nothing hangs."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from cloister.errors import Unavailable
from tests.model.checkpoints import greedy, prompt, scattered, whole
from tests.split.machines import Change, Meddler, at, split, to
from worker.execution.split.gpus import Connect
from worker.execution.split.masks import Masks, NoMasks
from worker.execution.split.sites import SiteId
from worker.execution.split.wire import Header, Op, Status
from worker.gpu.server import Server

STEP = whole(prompt(30), scattered())


def through(server: Server, change: Change) -> Connect:
    return lambda: Meddler(to(server)(), change)


class Once:
    """Changes the reply number `place` and no other."""

    def __init__(self, place: int, change: Change) -> None:
        self.place, self.change, self.count = place, change, 0

    def __call__(self, header: Header, payload: bytearray) -> tuple[Header, bytearray]:
        self.count += 1
        return self.change(header, payload) if self.count == self.place else (header, payload)


def flip(byte: int, bits: int) -> Change:
    def change(header: Header, payload: bytearray) -> tuple[Header, bytearray]:
        payload[byte] ^= bits
        return header, payload

    return change


def swap_rows(header: Header, payload: bytearray) -> tuple[Header, bytearray]:
    rows = np.frombuffer(payload, np.uint8).reshape(header.rows, -1)
    return header, bytearray(rows[::-1].tobytes())


def zeros(header: Header, payload: bytearray) -> tuple[Header, bytearray]:
    return header, bytearray(len(payload))


def header_with(**fields: object) -> Change:
    return lambda header, payload: (replace(header, **fields), payload)


LIES = {
    "lowest bit": flip(0, 1),
    "highest bit": flip(-1, 128),
    "middle": flip(1111, 16),
    "rows swapped": swap_rows,
    "zeros": zeros,
    "stale sequence": header_with(sequence=0),
    "future sequence": header_with(sequence=99),
    "other site": lambda header, payload: (
        replace(header, site=replace_layer(header)),
        payload,
    ),
    "fewer rows": header_with(rows=29),
    "wrong length": header_with(size_bytes=2**32),
    "not a product": header_with(op=Op.WELCOME),
}


def replace_layer(header: Header) -> object:
    return header.site._replace(layer=1 - header.site.layer)


@pytest.mark.parametrize("lie", LIES)
@pytest.mark.parametrize("place", [1, 6, 9])
def test_lie_is_found_and_leaves_no_trace(
    folder: Path, server: Server, lie: str, place: int
) -> None:
    with split(folder, to(server)) as (honest, _):
        expected = honest.forward(STEP)
        cache = [layer.clone() for layer in honest._cache.layers]
    with split(folder, through(server, Once(place, LIES[lie])), on_loss="tee") as (decoder, split_):
        assert torch.equal(decoder.forward(STEP), expected)
        assert all(map(torch.equal, decoder._cache.layers, cache))
        assert split_.counts.quarantined == 1
        assert split_.counts.calls == place
        assert split_.counts.in_tee == 10 - place


def test_liar_is_never_asked_again(folder: Path, any_server: Server) -> None:
    liar = through(any_server, Once(3, flip(0, 1)))
    with split(folder, liar, to(any_server)) as (decoder, execution):
        decoder.forward(STEP)
        decoder.forward(STEP)
        assert (execution.counts.calls, execution.counts.quarantined) == (3 + 7 + 9, 1)


def test_without_another_way_a_lie_fails_the_request(folder: Path, server: Server) -> None:
    with (
        split(folder, through(server, Once(2, zeros)), on_loss="reject") as (decoder, _),
        pytest.raises(Unavailable, match="on-gpu-loss"),
    ):
        decoder.forward(STEP)


def test_another_server_gets_the_same_bytes(folder: Path, any_server: Server) -> None:
    wires: list[Meddler] = []

    def noting(change: Change) -> Connect:
        def connect() -> Meddler:
            wires.append(Meddler(to(any_server)(), change))
            return wires[-1]

        return connect

    def honest(header: Header, payload: bytearray) -> tuple[Header, bytearray]:
        return header, payload

    with split(folder, noting(Once(4, zeros)), noting(honest)) as (decoder, execution):
        decoder.forward(STEP)
        assert execution.counts.in_tee == 0
    first, second = ([payload for header, payload in wire.seen[1:]] for wire in wires)
    assert (len(first), len(second)) == (4, 6)
    assert first[3] == second[0]
    assert not set(first[:3]) & set(second)


def dies_after(server: Server, replies: int) -> Connect:
    """The connection breaks while that reply is on its way."""

    class Dying(Meddler):
        def header(self, first_byte_s: float | None, rest_s: float) -> Header:
            if len(self.seen) > 1 and self.products == replies:
                raise ConnectionResetError("killed")
            return super().header(first_byte_s, rest_s)

    return lambda: Dying(to(server)())


@pytest.mark.parametrize("replies", [0, 4, 8])
def test_server_that_dies_costs_one_call_and_no_new_prefill(
    folder: Path, any_server: Server, replies: int
) -> None:
    with split(folder, to(any_server)) as (honest, _):
        expected = honest.forward(STEP)
    dying = dies_after(any_server, replies)
    with split(folder, dying, to(any_server)) as (decoder, execution):
        assert torch.equal(decoder.forward(STEP), expected)
        assert (execution.counts.calls, execution.counts.lost) == (10, 1)
        assert execution.counts.quarantined == 0


def test_server_that_stalls_is_left_at_the_deadline(folder: Path, any_server: Server) -> None:
    class Stalling(Meddler):
        """Swallows calls."""

        def send(self, header: Header, payload: object, timeout_s: float) -> None:
            if header.op is Op.HELLO:
                super().send(header, payload, timeout_s)

    stalling = lambda: Stalling(to(any_server)())  # noqa: E731
    with split(folder, stalling, on_loss="tee", deadline_s=0.2) as (decoder, execution):
        decoder.forward(STEP)
        assert execution.counts.lost >= 1
        assert execution.counts.in_tee == 9


def test_server_error_is_a_loss_and_no_lie(folder: Path, server: Server) -> None:
    failing = through(server, Once(1, header_with(op=Op.ERROR, status=Status.FAILED)))
    with split(folder, failing, on_loss="tee") as (decoder, execution):
        decoder.forward(STEP)
        assert (execution.counts.quarantined, execution.counts.lost) == (0, 1)


def test_failed_chunk_leaves_no_reply_behind(folder: Path, any_server: Server) -> None:
    """A chunk fails while the next one is under way: the session ends, a new one works."""
    liar = through(any_server, Once(1, zeros))
    with split(folder, liar, on_loss="reject", chunk_rows=8) as (decoder, execution):
        with pytest.raises(Unavailable):
            decoder.forward(STEP)
        assert execution._calls.gpus._endpoints[0]._link is None


def test_chunk_without_masks_leaves_no_reply_behind(folder: Path, server: Server) -> None:
    class Scarce(NoMasks):
        taken = 0

        def take(self, site: SiteId, rows: int) -> Masks:
            self.taken += 1
            if self.taken == 2:
                raise Unavailable("no masks")
            return super().take(site, rows)

    with split(folder, to(server), masks=Scarce(), chunk_rows=16) as (decoder, execution):
        with pytest.raises(Unavailable, match="no masks"):
            decoder.forward(STEP)
        assert execution._calls.gpus._endpoints[0]._link is None
        decoder.forward(STEP)


def start_gpu(folder: Path) -> tuple[subprocess.Popen[str], str]:
    """A GPU server in a process of its own."""
    command = [
        sys.executable,
        "-m",
        "worker.gpu",
        "--listen",
        "tcp://127.0.0.1:0",
        "--threads",
        "1",
    ]
    process = subprocess.Popen(
        [*command, "--model", str(folder)], stderr=subprocess.PIPE, text=True
    )
    line = process.stderr.readline()
    assert "GPU server at tcp://127.0.0.1:" in line
    return process, line.split()[-1]


def test_killed_process_is_noticed_and_a_stopped_one_is_left(folder: Path) -> None:
    one, url = start_gpu(folder)
    other, other_url = start_gpu(folder)
    try:
        connects = [lambda url=url: at(url) for url in (url, other_url)]
        with split(folder, *connects, on_loss="tee", deadline_s=1) as (decoder, execution):
            tokens = greedy(decoder, prompt(12), 8)
            assert execution.counts.in_tee == 0
            os.kill(one.pid, signal.SIGKILL)
            assert greedy(decoder, prompt(12), 8) == tokens
            assert execution.counts.in_tee == 0
            os.kill(other.pid, signal.SIGSTOP)
            began = time.monotonic()
            assert greedy(decoder, prompt(12), 8) == tokens
            assert time.monotonic() - began < 60
            assert execution.counts.in_tee > 0
    finally:
        for process in (one, other):
            process.kill()
            process.communicate()
