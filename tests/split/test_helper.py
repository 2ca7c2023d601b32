"""Masks multiplied by a second machine: right, used once, never believed, and never waited for."""

import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from cloister.errors import BadModel, BadSettings, Unavailable
from tests.model.checkpoints import prompt, scattered, whole
from tests.split.machines import MANY, Change, Meddler, at, nowhere, serving, split, still, to
from tests.split.test_server import call_of, terms
from worker.execution.split.gpus import Connect
from worker.execution.split.helper import HelperPool
from worker.execution.split.link import Link
from worker.execution.split.masks import Masks, NoMasks, OnEmpty
from worker.execution.split.sites import SiteId
from worker.execution.split.stream import expand
from worker.execution.split.wire import SEED_BYTES, Header, Kind, Op, Refused, Status
from worker.gpu.server import Server
from worker.gpu.shelf import Shelf

STEP = whole(prompt(30), scattered())
SITE = SiteId(1, "o")


@pytest.fixture
def helper(shelf: Shelf) -> Iterator[Server]:
    with serving(shelf, "tls", takes_seeds=True) as it:
        yield it


def helped(connect: Connect, on_empty: OnEmpty = "wait", limit_bytes: int = MANY) -> HelperPool:
    """A pool whose thread does nothing for as long as the test runs, if `connect` is lost once."""
    return HelperPool(limit_bytes, on_empty, ("test", connect), deadline_s=5, clock=still)


def started(shelf: Shelf, connect: Connect) -> HelperPool:
    pool, linear = helped(connect, limit_bytes=200 * 4 * 200), shelf.linears[SITE]
    pool.add(SITE, linear.inputs, linear.outputs, linear.multiply)
    pool.start(shelf.digest)
    return pool


def through(server: Server, change: Change) -> Connect:
    return lambda: Meddler(to(server)(), change)


def one_bit(header: Header, payload: bytearray) -> tuple[Header, bytearray]:
    payload[3] ^= 128  # 2^31: what a check of the mask alone would miss half the time
    return header, payload


def swap(header: Header, payload: bytearray) -> tuple[Header, bytearray]:
    return header, payload[4:] + payload[:4]


def test_helped_blind_computes_what_plain_integers_do(
    folder: Path, server: Server, helper: Server
) -> None:
    with (
        split(folder, to(server), masks=helped(to(helper))) as (blind, execution),
        split(folder, to(server), masks=NoMasks()) as (plain, _),
    ):
        assert torch.equal(blind.forward(STEP), plain.forward(STEP))
        assert execution.counts.in_tee == 0


def test_products_are_the_masks(shelf: Shelf, helper: Server) -> None:
    pool = started(shelf, to(helper))
    for rows in (1, 70, 128):
        masks = pool.take(SITE, rows)
        x = torch.from_numpy(masks.words.view(np.int32))
        expected = shelf.linears[SITE].multiply(x).numpy().view(np.uint32)
        assert np.array_equal(masks.products, expected)
    pool.close()


def test_pool_fills_itself_while_others_are_served(shelf: Shelf, helper: Server) -> None:
    pool = started(shelf, to(helper))
    filled = threading.Event()
    while pool.ready_rows() < 64:
        filled.wait(0.01)
    assert pool.counts.calls > 0
    pool.close()


def test_no_mask_comes_twice_in_threads_retries_and_restarts(shelf: Shelf, helper: Server) -> None:
    """Connections break now and then, the pool fills itself, and a second one follows."""
    taken: list[Masks] = []

    def breaking() -> Meddler:
        wire = Meddler(to(helper)())

        def change(header: Header, payload: bytearray) -> tuple[Header, bytearray]:
            if wire.products % 7 == 0:
                raise ConnectionResetError("lost")
            return header, payload

        wire.change = change
        return wire

    def take(pool: HelperPool) -> None:
        for rows in (1, 2, 5, 63, 64, 65, 100) * 3:
            try:
                taken.append(pool.take(SITE, rows))
            except Unavailable:
                pool._endpoint._down_until = 0

    for _ in range(2):
        pool = started(shelf, breaking)
        takers = [threading.Thread(target=take, args=(pool,)) for _ in range(3)]
        for thread in takers:
            thread.start()
        for thread in takers:
            thread.join()
        pool.close()
    counts = Counter(row.tobytes() for masks in taken for row in masks.words)
    assert len(counts) == sum(counts.values()) > 1000


def test_no_seed_is_sent_twice_and_no_mask_is_sent_at_all(
    folder: Path, server: Server, helper: Server
) -> None:
    wires: list[Meddler] = []

    def noting() -> Meddler:
        wires.append(Meddler(to(helper)()))
        return wires[-1]

    with split(folder, to(server), masks=helped(noting)) as (decoder, _):
        decoder.forward(STEP)
        decoder.forward(STEP)
    seeds = [payload for wire in wires for header, payload in wire.seen if header.op is Op.MULTIPLY]
    assert len(set(seeds)) == len(seeds) >= 9
    assert {len(seed) for seed in seeds} == {SEED_BYTES}


def test_seed_means_the_same_words_everywhere() -> None:
    """AES-256 in counter mode from 0: the first block under a key of zeros is a published one."""
    assert expand(bytes(32), 1, 4).tobytes().hex() == "dc95c078a2408989ad48a21492842087"
    assert np.array_equal(expand(b"k" * 32, 6, 5).reshape(3, 10), expand(b"k" * 32, 3, 10))


@pytest.mark.parametrize("place", [1, 5, 9])
def test_lying_helper_is_found_and_changes_nothing(
    folder: Path, server: Server, helper: Server, place: int
) -> None:
    def lie(header: Header, payload: bytearray) -> tuple[Header, bytearray]:
        return one_bit(header, payload) if header.sequence >= place else (header, payload)

    pool = helped(through(helper, lie), "tee", limit_bytes=MANY)
    with split(folder, to(server), masks=NoMasks()) as (plain, _):
        expected = plain.forward(STEP)
    with split(folder, to(server), masks=pool) as (decoder, execution):
        while min(shelf.rows for shelf in pool._shelves.values()) < 64:
            threading.Event().wait(0.01)
        assert torch.equal(decoder.forward(STEP), expected)
        assert (pool.counts.quarantined, execution.counts.quarantined) == (1, 0)
        assert pool.ready_rows() < 64
        assert torch.equal(decoder.forward(STEP), expected)


def test_liars_on_both_sides_are_both_found(folder: Path, server: Server, helper: Server) -> None:
    pool = helped(through(helper, one_bit))
    with split(folder, to(server), masks=NoMasks()) as (plain, _):
        expected = plain.forward(STEP)
    with split(folder, through(server, swap), masks=pool, on_loss="tee") as (decoder, execution):
        assert torch.equal(decoder.forward(STEP), expected)
        assert (pool.counts.quarantined, execution.counts.quarantined) == (1, 1)


def test_lying_gpu_is_not_blamed_on_the_helper(
    folder: Path, server: Server, helper: Server
) -> None:
    pool = helped(to(helper))
    with split(folder, through(server, one_bit), masks=pool, on_loss="tee") as (decoder, execution):
        decoder.forward(STEP)
        assert (pool.counts.quarantined, execution.counts.quarantined) == (0, 1)


def test_helper_that_is_away_is_not_waited_for(folder: Path, server: Server) -> None:
    with split(folder, to(server), masks=helped(nowhere, "tee")) as (decoder, execution):
        decoder.forward(STEP)
        assert (execution.counts.calls, execution.counts.in_tee) == (0, 9)
    for on_empty in ("wait", "reject"):
        with (
            split(folder, to(server), masks=helped(nowhere, on_empty)) as (decoder, _),
            pytest.raises(Unavailable, match="masks"),
        ):
            decoder.forward(STEP)


def test_slow_helper_costs_a_deadline(folder: Path, server: Server, helper: Server) -> None:
    class Stalling(Meddler):
        def send(self, header: Header, payload: object, timeout_s: float) -> None:
            if header.op is Op.HELLO:
                super().send(header, payload, timeout_s)

    pool = HelperPool(
        MANY, "wait", ("slow", lambda: Stalling(to(helper)())), deadline_s=0.2, clock=still
    )
    with (
        split(folder, to(server), masks=pool) as (decoder, _),
        pytest.raises(Unavailable, match="does not answer"),
    ):
        decoder.forward(STEP)
    assert pool.counts.lost >= 1


def test_helper_and_gpu_server_do_not_stand_in_for_each_other(
    folder: Path, server: Server, helper: Server
) -> None:
    with (
        pytest.raises(BadSettings, match="cloister masks"),
        split(folder, to(server), masks=helped(to(server))),
    ):
        pass
    with pytest.raises(BadSettings, match="cloister masks"), split(folder, to(helper)):
        pass


def test_helper_with_other_weights_is_refused(folder: Path, server: Server, shelf: Shelf) -> None:
    with (
        serving(replace(shelf, digest=bytes(32)), "tls", takes_seeds=True) as other,
        pytest.raises(BadModel, match=r"mask helper .* other weights"),
        split(folder, to(server), masks=helped(to(other))),
    ):
        pass


WRONG = {
    "rows for a seed": {"kind": Kind.INT32},
    "length": {"size_bytes": SEED_BYTES + 1},
    "four gigabytes": {"size_bytes": 2**32},
    "rows": {"rows": 2**32 - 1},
    "columns": {"columns": 47},
}


@pytest.mark.parametrize("wrong", WRONG)
def test_helper_checks_sizes_before_it_draws(helper: Server, shelf: Shelf, wrong: str) -> None:
    wire = at(helper.url)
    link = Link(wire, replace(terms(shelf), kind=Kind.SEED))
    call = replace(call_of(shelf), kind=Kind.SEED, payload=bytes(SEED_BYTES))
    wire.send(replace(call.header(1), **WRONG[wrong]), b"", 5)
    assert wire.header(20, 5).status is Status.WRONG_SHAPE
    link.close()
    assert helper.budget.used_bytes == 0


def test_gpu_server_takes_no_seed(server: Server, shelf: Shelf) -> None:
    link = Link(to(server)(), terms(shelf))
    call = replace(call_of(shelf), kind=Kind.SEED, payload=bytes(SEED_BYTES))
    with pytest.raises(Refused, match="wrong shape"):
        link.receive(link.send(call))
    link.close()
