"""Masks are uniform, each is used once, and there are never more than the memory allows."""

import os
import subprocess
import sys
import threading
from collections import Counter

import numpy as np
import pytest
import torch

from cloister.errors import BadSettings, Unavailable
from worker.execution.split.masks import LocalPool, Masks, OnEmpty
from worker.execution.split.products import KINDS
from worker.execution.split.sites import SiteId
from worker.execution.split.stream import MaskStream

SITES = (SiteId(0, "qkv"), SiteId(1, "down"))
W8 = torch.randint(-127, 128, (24, 32), dtype=torch.int8)
ROW_BYTES = 4 * (32 + 24) * len(SITES)


class Stopped:
    """A clock on which nobody is ever idle, so that a test alone fills the pool."""

    def __call__(self) -> float:
        return -1.0


def pool(limit_rows: int = 1000, on_empty: OnEmpty = "wait") -> LocalPool:
    made = LocalPool(limit_rows * ROW_BYTES, on_empty, MaskStream(), Stopped())
    for site in SITES:
        made.add(site, 32, 24, KINDS["int8"](W8))
    made.start()
    return made


def rows_of(taken: list[Masks]) -> list[bytes]:
    return [row.tobytes() for masks in taken for row in masks.words]


def test_products_are_the_masks() -> None:
    made = pool()
    made.fill_one()
    made.fill_one()
    for rows in (3, 64, 200):  # from the shelf, across a block's end, and made while waiting
        masks = made.take(SITES[0], rows)
        expected = masks.words.astype(np.int64) @ W8.numpy().T.astype(np.int64)
        assert np.array_equal(masks.products, expected.astype(np.uint32))
    made.close()


def test_no_mask_comes_twice_in_threads_with_and_without_a_store() -> None:
    made, taken = pool(), []
    done = threading.Event()

    def fill() -> None:
        while not done.is_set():
            made.fill_one()

    def take(site: SiteId) -> None:
        taken.extend([made.take(site, rows) for rows in (1, 2, 5, 63, 64, 65, 130) * 10])

    filler = threading.Thread(target=fill)
    takers = [threading.Thread(target=take, args=(site,)) for site in SITES * 2]
    for thread in (filler, *takers):
        thread.start()
    for thread in takers:
        thread.join()
    done.set()
    filler.join()
    made.close()
    counts = Counter(rows_of(taken))
    assert len(counts) == sum(counts.values()) == 330 * 10 * 4


def test_stream_changes_its_key_and_repeats_nothing() -> None:
    stream = MaskStream(stretch_bytes=4096)
    words = np.concatenate([stream.words(3, 100) for _ in range(400)])
    assert len({row.tobytes() for row in words}) == len(words)


def test_a_restarted_process_has_other_masks() -> None:
    program = (
        "from worker.execution.split.stream import MaskStream;"
        "print(MaskStream().words(1, 8).tobytes().hex())"
    )
    runs = [
        subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
        for _ in range(2)
    ]
    assert runs[0].stdout != runs[1].stdout
    assert len(runs[0].stdout.strip()) == 64


def test_a_forked_child_gets_no_masks(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = MaskStream()
    child = os.getpid() + 1
    monkeypatch.setattr(os, "getpid", lambda: child)
    with pytest.raises(RuntimeError, match="fork"):
        stream.words(1, 4)


def test_words_are_uniform() -> None:
    counts = np.bincount(MaskStream().words(64, 4096).view(np.uint8).reshape(-1), minlength=256)
    assert chi_square(counts) < 450  # 255 degrees of freedom: beyond it once in 10^12


def chi_square(counts: np.ndarray) -> float:
    expected = counts.sum() / len(counts)
    return float(((counts - expected) ** 2 / expected).sum())


def test_pool_stays_within_its_memory_and_fills_the_neediest() -> None:
    made = pool(limit_rows=400)
    while made.fill_one():
        pass
    assert made.ready_rows() == 384  # whole blocks of 128
    made.take(SITES[0], 129)
    assert [made.fill_one(), made.fill_one()] == [True, False]  # a begun block still takes memory
    assert made.ready_rows() == 383
    made.close()


def test_small_pool_has_small_blocks() -> None:
    made = pool(limit_rows=5)
    assert [made.fill_one() for _ in range(3)] == [True, True, False]
    assert made.ready_rows() == 5
    made.close()


def test_empty_pool_follows_its_policy() -> None:
    tee, reject = pool(on_empty="tee"), pool(on_empty="reject")
    assert tee.take(SITES[0], 1) is None
    with pytest.raises(Unavailable, match="on-empty reject"):
        reject.take(SITES[0], 1)
    for made in (tee, reject):
        made.fill_one()
        made.fill_one()
        assert len(made.take(SITES[0], 60).words) == 60
        assert made.ready_rows() == 68
        made.close()


def test_pool_fills_itself_when_idle() -> None:
    made = LocalPool(128 * ROW_BYTES, "reject", MaskStream())
    filled = threading.Event()

    def product(x: torch.Tensor) -> torch.Tensor:
        filled.set()
        return KINDS["int8"](W8)(x)

    for site in SITES:
        made.add(site, 32, 24, product)
    made.start()
    assert filled.wait(20)
    made.close()


def test_memory_for_less_than_one_token_is_refused() -> None:
    made = LocalPool(10, "tee", MaskStream())
    made.add(SITES[0], 32, 24, KINDS["int8"](W8))
    with pytest.raises(BadSettings, match="masks_mb"):
        made.start()
