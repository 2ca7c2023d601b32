"""Drafts pay or stop: engines on a made-up clock, by which each step takes what its rows cost."""

import random
from dataclasses import dataclass, replace

import pytest
from torch import Tensor

from tests.engine.fakes import ByteVocabulary, PagedModel
from tests.engine.test_drafts import Prophet
from tests.engine.test_engine import request
from worker.engine.drafts import OFF, Drafter, Wish
from worker.engine.engine import InferenceEngine
from worker.engine.limits import Limits
from worker.engine.request import Request
from worker.engine.step import Step
from worker.engine.worth import DEAR, Cost, Odds

LENGTH = 60


@dataclass(frozen=True)
class Price:
    """Milliseconds of a step: `base`, `each` sequence, `any` guess at all, each guessed `row`."""

    base: float
    each: float
    any: float
    row: float

    def of(self, step: Step) -> float:
        guesses = sum(max(0, segment.logits - 1) for segment in step.segments)
        extra = self.any + self.row * guesses if guesses else 0.0
        return self.base + self.each * len(step.segments) + extra


PRICES = {
    "small model": Price(1.1, 0.165, 0.2, 0.028),  # novice's own, on a quiet machine (docs/log.md)
    "steep": Price(2.5, 0.2, 0.6, 0.08),
    "large model": Price(100, 2, 0, 2),
}


class Timed(PagedModel):
    """Its steps take what they cost, more or less; `spent` is without the accidents."""

    def __init__(self, price: Price, noise: float) -> None:
        super().__init__(page_count=1000)
        self.price, self.noise = price, noise
        self.random = random.Random(3)
        self.now = self.spent = 0.0

    def forward(self, step: Step) -> Tensor:
        if not any(len(segment.tokens) > segment.logits for segment in step.segments):
            seconds = self.price.of(step) / 1000
            self.spent += seconds
            self.now += seconds * self.random.lognormvariate(0, self.noise)
        return super().forward(step)


def spent(
    requests: list[Request], drafter: Drafter, price: Price, noise: float
) -> tuple[float, dict[str, list[int]]]:
    """The seconds of all steps that read no prompt, and the answers."""
    model = Timed(price, noise)
    limits = Limits(sequences=16)
    engine = InferenceEngine(model, ByteVocabulary(), limits, drafter, lambda: model.now)
    answers: dict[str, list[int]] = {one.id: [] for one in requests}
    for one in requests:
        engine.submit(one, lambda event, ids=answers[one.id]: ids.append(event.id))  # type: ignore[misc]
    while engine.load().running_requests + engine.load().queued_requests:
        plan = engine._next_plan()
        assert plan is not None
        for listener, event in engine._step(plan):
            listener(event)
    engine.close()
    return model.spent, answers


def asked(count: int) -> list[Request]:
    return [replace(request(chr(97 + at), 7 + at), max_tokens=LENGTH) for at in range(count)]


class Erring(Prophet):
    """Knows the answers, and errs with a chance of `wrong` at each guess."""

    def __init__(self, answers: dict[str, list[int]], wrong: float) -> None:
        super().__init__(answers, most=8)
        self.wrong = wrong

    def _guess(self, wish: Wish) -> list[int]:
        return [id ^ (self.random.random() < self.wrong) for id in super()._guess(wish)]


@pytest.mark.parametrize("noise", [0.0, 0.3])
@pytest.mark.parametrize("count", [1, 4, 12])
@pytest.mark.parametrize("price", PRICES)
def test_useless_drafts_lose_little(price: str, count: int, noise: float) -> None:
    requests = asked(count)
    plain, answers = spent(requests, OFF, PRICES[price], 0)
    for wrong in (1.0, 0.8):
        drafted, same = spent(requests, Erring(answers, wrong), PRICES[price], noise)
        assert same == answers
        assert drafted < 1.05 * plain


@pytest.mark.parametrize("noise", [0.0, 0.3])
@pytest.mark.parametrize("count", [1, 4, 12])
@pytest.mark.parametrize("price", PRICES)
def test_drafts_pay_where_text_is_predictable(price: str, count: int, noise: float) -> None:
    requests = asked(count)
    plain, answers = spent(requests, OFF, PRICES[price], 0)
    drafted, same = spent(requests, Erring(answers, 0.1), PRICES[price], noise)
    assert same == answers
    assert plain > 1.5 * drafted


@pytest.mark.parametrize(
    ("grade", "row", "may"),
    [(0, 0.0, False), (1, DEAR, True), (1, DEAR + 0.01, False), (2, DEAR + 0.01, True)],
)
def test_poorest_guesses_are_left_alone_where_rows_are_dear(
    grade: int, row: float, may: bool
) -> None:
    odds = Odds()
    odds.grade = grade
    assert odds.may_guess(Cost(0.1, row)) == may
