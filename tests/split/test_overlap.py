"""Long steps go in pieces, two under way; what they compute does not depend on it."""

from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from cloister.errors import Unavailable
from tests.model.checkpoints import prompt, scattered
from tests.split.machines import Meddler, at, split, to
from worker.engine.step import Segment, Step
from worker.execution.split.frames import Payload, Wire
from worker.execution.split.masks import Masks, NoMasks
from worker.execution.split.sites import SiteId
from worker.execution.split.wire import Header, Op
from worker.gpu.server import Server

PAGES = scattered()
FIRST, SECOND, THIRD = PAGES[:64], PAGES[64:110], PAGES[110:]

STEPS = (
    Step((Segment(prompt(150, 1), 0, FIRST, 0), Segment(prompt(131, 2), 0, SECOND, 1))),
    Step(
        (
            Segment(prompt(100, 3), 150, FIRST, 1),
            Segment(prompt(1, 4), 131, SECOND, 1),
            Segment(prompt(60, 5), 0, THIRD, 60),
        )
    ),
)
"""Two prompts whose last blocks are short; then one goes on, one decodes, and one begins."""


@dataclass
class Counting(Meddler):
    """A wire that notes how many calls are under way."""

    under_way: int = 0
    most: int = 0

    def send(self, header: Header, payload: Payload, timeout_s: float) -> None:
        super().send(header, payload, timeout_s)
        self.under_way += header.op is Op.MULTIPLY
        self.most = max(self.most, self.under_way)

    def header(self, first_byte_s: float | None, rest_s: float) -> Header:
        header = super().header(first_byte_s, rest_s)
        self.under_way -= header.op is Op.PRODUCT
        return header


@pytest.mark.parametrize("at_once", [2])
def test_overlapped_equals_one_in_flight_to_the_bit(
    folder: Path, server: Server, at_once: int
) -> None:
    with (
        split(folder, to(server), at_once=1) as (one, _),
        split(folder, to(server), at_once=at_once) as (several, execution),
    ):
        for step in STEPS:
            assert torch.equal(several.forward(step), one.forward(step))
        for mine, theirs in zip(several._cache.layers, one._cache.layers, strict=True):
            assert torch.equal(mine, theirs)
        assert execution.counts.in_tee == 0


@pytest.mark.parametrize("at_once", [1, 2])
def test_so_many_calls_are_under_way(folder: Path, server: Server, at_once: int) -> None:
    wires: list[Counting] = []

    def connect() -> Wire:
        wires.append(Counting(at(server.url)))
        return wires[-1]

    with split(folder, connect, at_once=at_once) as (decoder, execution):
        decoder.forward(STEPS[0])
        assert execution.counts.calls == 4 * 2 * 3 + 1  # 128 rows, 128 rows, 25 rows
    assert wires[0].most == at_once
    assert wires[0].under_way == 0


def test_piece_that_fails_leaves_no_reply_behind(folder: Path, server: Server) -> None:
    class Scarce(NoMasks):
        taken = 0

        def take(self, site: SiteId, rows: int) -> Masks:
            self.taken += 1
            if self.taken == 5:
                raise Unavailable("no masks")
            return super().take(site, rows)

    with split(folder, to(server), masks=Scarce()) as (decoder, execution):
        with pytest.raises(Unavailable, match="no masks"):
            decoder.forward(STEPS[0])
        assert execution._calls.gpus._endpoints[0]._link is None
        decoder.forward(STEPS[0])
