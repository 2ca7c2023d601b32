"""A decoder with its linears on another machine computes what the local one does."""

from pathlib import Path

import torch

from tests.model.checkpoints import prompt, scattered, whole
from tests.split.machines import split, to
from worker.execution.split.masks import NoMasks
from worker.gpu.server import Server

STEP = whole(prompt(30), scattered())


def test_blind_computes_what_plain_integers_do_to_the_bit(folder: Path, server: Server) -> None:
    with (
        split(folder, to(server)) as (blind, _),
        split(folder, to(server), masks=NoMasks()) as (
            plain,
            _,
        ),
    ):
        assert torch.equal(blind.forward(STEP), plain.forward(STEP))
