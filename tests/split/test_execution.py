"""A decoder with its linears on another machine computes what the local one does."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from cloister.errors import BadModel, BadSettings, Unavailable
from tests.model.checkpoints import (
    config_of,
    difference,
    greedy,
    ours,
    prompt,
    save,
    scattered,
    whole,
)
from tests.split.machines import Meddler, nowhere, pool, serving, shelf_of, split, to
from worker.execution.split.masks import NoMasks
from worker.execution.split.wire import Op
from worker.gpu.server import Server
from worker.gpu.shelf import Shelf
from worker.kernels.library import Library
from worker.kernels.native import Native
from worker.model.source import find_model

STEP = whole(prompt(30), scattered())


def test_blind_computes_what_plain_integers_do_to_the_bit(folder: Path, any_server: Server) -> None:
    with (
        split(folder, to(any_server)) as (blind, _),
        split(folder, to(any_server), masks=NoMasks()) as (plain, _),
    ):
        assert torch.equal(blind.forward(STEP), plain.forward(STEP))


def test_blind_is_near_the_local_floats(folder: Path, server: Server) -> None:
    with split(folder, to(server)) as (blind, _):
        assert difference(blind.forward(STEP), ours(folder).forward(STEP)) < 0.1


def test_cache_of_the_tee_may_be_int8(folder: Path, server: Server) -> None:
    with split(folder, to(server), kept="int8") as (blind, _):
        local = ours(folder, kv_cache_dtype="int8")
        assert difference(blind.forward(STEP), local.forward(STEP)) < 0.1


def test_plain_computes_the_local_logits_and_the_same_64_greedy_tokens(
    folder: Path, wire: str
) -> None:
    with (
        serving(shelf_of(folder, int8=False), wire) as server,
        split(folder, to(server), numbers="clear") as (plain, execution),
    ):
        assert difference(plain.forward(STEP), ours(folder).forward(STEP)) < 1e-4
        assert greedy(plain, prompt(12), 64) == greedy(ours(folder), prompt(12), 64)
        assert execution.counts.in_tee == 0


def test_blind_chooses_the_same_tokens_of_novice_as_local_nine_times_in_ten() -> None:
    folder = find_model("novice")
    step = whole(prompt(200), tuple(range(128)))
    expected = ours(folder).forward(step)
    with serving(shelf_of(folder)) as server, split(folder, to(server)) as (blind, _):
        found = blind.forward(step)
    assert (found.argmax(1) == expected.argmax(1)).float().mean() > 0.9


@pytest.mark.parametrize("chunk_rows", [1, 7, 29, 30])
def test_chunks_of_rows_compute_the_same(
    folder: Path, any_server: Server, library: Library, chunk_rows: int
) -> None:
    kernels = Native(library)  # those in PyTorch round differently then
    with split(folder, to(any_server), kernels=kernels) as (whole_rows, _):
        expected = whole_rows.forward(STEP)
    chunks = split(folder, to(any_server), chunk_rows=chunk_rows, kernels=kernels)
    with chunks as (chunked, execution):
        assert torch.equal(chunked.forward(STEP), expected)
        assert execution.counts.calls == 9 * -(-30 // chunk_rows)


def test_a_step_is_four_calls_a_layer_and_the_head(folder: Path, server: Server) -> None:
    with split(folder, to(server)) as (decoder, execution):
        decoder.forward(STEP)
        assert execution.counts.calls == 4 * 2 + 1


def test_tee_computes_the_same_to_the_bit_when_masks_are_out(folder: Path, server: Server) -> None:
    with (
        split(folder, to(server)) as (blind, _),
        split(folder, to(server), masks=pool("tee", 6000)) as (poor, execution),
    ):
        assert torch.equal(poor.forward(STEP), blind.forward(STEP))
        assert (execution.counts.calls, execution.counts.in_tee) == (0, 9)


def test_masks_that_are_out_fail_the_request_if_told_so(folder: Path, server: Server) -> None:
    with (
        split(folder, to(server), masks=pool("reject", 6000)) as (decoder, _),
        pytest.raises(Unavailable, match="masks"),
    ):
        decoder.forward(STEP)


def test_several_workers_share_a_server(folder: Path, any_server: Server) -> None:
    with split(folder, to(any_server)) as (one, _), split(folder, to(any_server)) as (other, _):
        expected = one.forward(STEP)
        assert torch.equal(other.forward(STEP), expected)
        assert torch.equal(one.forward(STEP), expected)


def test_a_step_without_wanted_logits_makes_no_head_call(folder: Path, server: Server) -> None:
    segment = replace(STEP.segments[0], logits=0)
    with split(folder, to(server)) as (decoder, execution):
        assert decoder.forward(replace(STEP, segments=(segment,))).shape == (0, 97)
        assert execution.counts.calls == 8


def test_other_weights_are_refused_at_the_start(shelf: Shelf, tmp_path: Path) -> None:
    save(config_of("Llama", head_dim=12, attention_bias=True, mlp_bias=True), tmp_path)
    other = replace(shelf, digest=bytes(32))
    with (
        serving(other) as server,
        pytest.raises(BadModel, match="other weights"),
        split(tmp_path, to(server)),
    ):
        pass


def test_float_weights_do_not_serve_blind_workers(folder: Path) -> None:
    with (
        serving(shelf_of(folder, int8=False)) as server,
        pytest.raises(BadModel, match="other weights"),
        split(folder, to(server)),
    ):
        pass


def test_server_for_smaller_calls_is_refused_at_the_start(folder: Path, shelf: Shelf) -> None:
    with (
        serving(shelf, most_rows=8) as server,
        pytest.raises(BadSettings, match="chunk_rows"),
        split(folder, to(server), chunk_rows=9),
    ):
        pass


def test_wrong_token_is_refused_and_never_shown(folder: Path, shelf: Shelf) -> None:
    with serving(shelf, token=b"right-token") as server:
        meddlers: list[Meddler] = []

        def listening() -> Meddler:
            meddlers.append(Meddler(to(server)()))
            return meddlers[-1]

        with pytest.raises(BadSettings, match="gpu_token"), split(folder, to(server)):
            pass
        with split(folder, listening, token=b"right-token") as (decoder, execution):
            decoder.forward(STEP)
            assert execution.counts.calls == 9
        sent = b"".join(payload for _, payload in meddlers[0].seen)
        assert meddlers[0].seen[0][0].op is Op.HELLO
        assert b"right-token" not in sent


def test_worker_starts_without_its_gpu_and_takes_it_up_later(
    folder: Path, any_server: Server
) -> None:
    away = [True]

    def sometimes() -> object:
        return nowhere() if away[0] else to(any_server)()

    with split(folder, sometimes, on_loss="tee") as (decoder, execution):
        first = decoder.forward(STEP)
        assert (execution.counts.calls, execution.counts.in_tee) == (0, 9)
        assert execution._masks._last_take < 0, "a mask was spent on a any_server that is lost"
        away[0] = False
        execution._calls.gpus._endpoints[0]._down_until = 0
        assert torch.equal(decoder.forward(STEP), first)
        assert (execution.counts.calls, execution.counts.in_tee) == (9, 9)
