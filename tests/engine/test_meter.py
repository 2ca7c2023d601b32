"""What the engine does a second, measured while it works."""

import math

import pytest

from cloister.errors import Busy
from tests.engine.conftest import MakeBench
from tests.engine.test_engine import request
from worker.engine.meter import MEMORY_S, Meter


def test_nothing_is_told_before_anything_was_measured() -> None:
    meter = Meter()
    meter.end()
    assert (meter.tokens_per_s, meter.ends_per_s) == (0, 0)


def test_tokens_and_ends_are_of_busy_time() -> None:
    meter = Meter()
    for _ in range(4):
        meter.count(tokens=10, seconds=0.5)
        meter.end()
    assert meter.tokens_per_s == pytest.approx(20)
    assert meter.ends_per_s == pytest.approx(2, rel=0.1)


def test_old_work_fades() -> None:
    meter = Meter()
    meter.count(1000, 1)
    meter.end()
    meter.count(10, 3 * MEMORY_S)
    assert meter.tokens_per_s < 3
    assert meter.ends_per_s == pytest.approx(math.exp(-3) / (3 * MEMORY_S), rel=0.01)


def test_wait_for_a_place_is_that_of_one_end(bench: MakeBench) -> None:
    one = bench(queued_requests=1)
    one.submit(request("a"))
    one.engine._meter.count(tokens=100, seconds=8)
    for _ in range(2):
        one.engine._meter.end()
    with pytest.raises(Busy) as refusal:
        one.submit(request("b"))
    assert refusal.value.wait_s == pytest.approx(4)


def test_wait_for_room_for_a_prompt_is_that_of_the_tokens_before_it(bench: MakeBench) -> None:
    one = bench(queued_tokens=100)
    one.submit(request("a", length=60))
    one.engine._meter.count(tokens=100, seconds=10)
    with pytest.raises(Busy) as refusal:
        one.submit(request("b", length=70))
    assert refusal.value.wait_s == pytest.approx(3)
