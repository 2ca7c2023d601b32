"""What a key may ask for: taken, given back, and told honestly."""

import pytest

from controller.keys import Limits
from controller.limits import Allowance, RequestsLimited, TokensLimited, TooMuch, duration


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_requests_are_refilled_evenly(clock: Clock) -> None:
    allowance = Allowance(Limits(requests_per_minute=6), clock)
    for _ in range(6):
        allowance.enter(1)
    with pytest.raises(RequestsLimited, match="limit 6") as caught:
        allowance.enter(1)
    assert caught.value.wait_s == pytest.approx(10)
    clock.now += 10
    allowance.enter(1)
    with pytest.raises(RequestsLimited):
        allowance.enter(1)


def test_told_wait_is_just_long_enough(clock: Clock) -> None:
    allowance = Allowance(Limits(tokens_per_minute=700), clock)
    allowance.enter(650)
    with pytest.raises(TokensLimited) as caught:
        allowance.enter(333)
    headers = caught.value.headers()
    clock.now += int(headers["retry-after-ms"]) / 1000
    allowance.enter(333)


def test_unused_tokens_come_back_and_overdrawn_ones_are_owed(clock: Clock) -> None:
    allowance = Allowance(Limits(tokens_per_minute=100), clock)
    allowance.enter(100)
    allowance.charge(-60)
    allowance.enter(60)
    allowance.charge(50)
    with pytest.raises(TokensLimited) as caught:
        allowance.enter(10)
    assert caught.value.wait_s == pytest.approx(36)  # 60 tokens at 100 a minute


def test_request_above_the_limit_is_not_to_be_repeated(clock: Clock) -> None:
    allowance = Allowance(Limits(tokens_per_minute=100, requests_per_minute=1), clock)
    with pytest.raises(TooMuch, match="limit 100, this request may take 101") as caught:
        allowance.enter(101)
    assert caught.value.headers() == {"x-should-retry": "false"}
    allowance.enter(100)  # the refused one cost nothing


def test_refused_request_takes_nothing(clock: Clock) -> None:
    allowance = Allowance(Limits(requests_per_minute=2, tokens_per_minute=10), clock)
    allowance.enter(10)
    with pytest.raises(TokensLimited):
        allowance.enter(10)
    assert allowance.headers()["x-ratelimit-remaining-requests"] == "1"
    assert allowance.running == 1


def test_parallel_requests_wait_for_each_other_to_end(clock: Clock) -> None:
    allowance = Allowance(Limits(parallel_requests=2), clock)
    allowance.enter(1)
    allowance.enter(1)
    with pytest.raises(RequestsLimited, match="limit 2"):
        allowance.enter(1)
    allowance.leave(lasted_s=50)
    allowance.enter(1)
    with pytest.raises(RequestsLimited) as caught:
        allowance.enter(1)
    assert 1 < caught.value.wait_s < 50  # measured: requests last longer than was thought


def test_new_limits_hold_at_once_for_what_runs(clock: Clock) -> None:
    allowance = Allowance(Limits(parallel_requests=5), clock)
    allowance.enter(1)
    allowance.set(Limits(parallel_requests=1))
    with pytest.raises(RequestsLimited):
        allowance.enter(1)


def test_headers_are_openai_s(clock: Clock) -> None:
    allowance = Allowance(Limits(requests_per_minute=60, tokens_per_minute=1000), clock)
    allowance.enter(250)
    assert allowance.headers() == {
        "x-ratelimit-limit-requests": "60",
        "x-ratelimit-remaining-requests": "59",
        "x-ratelimit-reset-requests": "1s",
        "x-ratelimit-limit-tokens": "1000",
        "x-ratelimit-remaining-tokens": "750",
        "x-ratelimit-reset-tokens": "15s",
    }
    assert Allowance(Limits(parallel_requests=1), clock).headers() == {}


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s"), (0.0004, "1ms"), (0.12, "120ms"), (1.5, "1.5s"), (59.999, "60s"), (360, "6m0s")],
)
def test_durations_are_written_as_openai_does(seconds: float, text: str) -> None:
    assert duration(seconds) == text
