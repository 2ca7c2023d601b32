"""Every variant draws the tokens that the definition in PyTorch draws."""

import math
import random
from collections.abc import Iterable
from threading import Thread

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from worker.engine.step import Segment, Step
from worker.execution.local import LocalExecution
from worker.kernels.draw import HIGHEST, NOTHING, POINT_BITS, Rule, candidates, draw, weigh
from worker.kernels.library import Library
from worker.kernels.native import Native
from worker.model.load import load_model
from worker.model.source import find_model

LAST_POINT = 1 - 2.0**-POINT_BITS

per_variant = settings(
    max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)
rules = st.builds(
    Rule,
    temperature=st.sampled_from([0.0, 5e-324, 1e-30, 0.01, 0.7, 1.0, 2.0, 1e6]),
    top_k=st.sampled_from([0, 1, 3, 40, 2**31]),
    top_p=st.sampled_from([1.0, 1 - 2**-53, 0.9, 0.4, 1e-12]),
    min_p=st.sampled_from([0.0, 1e-3, 0.3, 1.0]),
    point=st.sampled_from([0.0, LAST_POINT]) | st.integers(0, 2**53 - 1).map(lambda n: n / 2**53),
)


def numbers(rows: int, size: int, seed: int = 0) -> Tensor:
    return torch.randn(rows, size, generator=torch.Generator().manual_seed(seed))


@per_variant
@given(
    asked=st.lists(rules, max_size=5),
    size=st.sampled_from([1, 2, 7, 255, 256, 257, 1030]),
    seed=st.integers(0, 10_000),
    spread=st.sampled_from([0.0, 1e-30, 0.01, 1.0, 30.0, 1e37]),
    step=st.sampled_from([0.0, 0.5, 4.0]),
    hidden=st.sampled_from([0.0, 0.5, 0.99]),
)
def test_draws_like_the_twin(
    native: Native,
    asked: list[Rule],
    size: int,
    seed: int,
    spread: float,
    step: float,
    hidden: float,
) -> None:
    logits = numbers(len(asked), size, seed)
    if step:  # many are equal
        logits = (logits / step).round() * step
    logits = logits * spread
    logits[:, 1:][numbers(len(asked), size, seed + 1)[:, 1:].sigmoid() < hidden] = -torch.inf
    assert native.draw(logits, asked) == draw(logits, asked)


def test_every_point_of_a_small_distribution_equals_the_twin(native: Native) -> None:
    logits = (numbers(1, 40) * 2).round().expand(2000, 40)
    asked = [Rule(1.5, 30, 0.95, 0.01, index / 2000) for index in range(2000)]
    drawn = native.draw(logits.contiguous(), asked)
    assert drawn == draw(logits, asked)
    assert len(set(drawn)) == len(candidates(logits[0], asked[0])[0])


def test_large_vocabulary_equals_the_twin(native: Native) -> None:
    logits = torch.cat((numbers(2, 100_000), numbers(2, 100_000) * 4))
    asked = [Rule(0.7, 0, 0.9, 0, 0.999), Rule(1, point=0.5), Rule(1, 50, 0.9, 0.01, 0.7), HIGHEST]
    assert native.draw(logits, asked) == draw(logits, asked)


def test_logits_of_novice_equal_the_twin(native: Native) -> None:
    model = load_model(find_model("novice"), execution=LocalExecution(), page_count=8)
    text = tuple(range(300, 400))
    logits = model.forward(Step((Segment(text, 0, tuple(range(8)), len(text)),)))
    asked = [Rule(0.8, 0, 0.95, 0.01, index / len(text)) for index in range(len(text))]
    assert native.draw(logits, asked) == draw(logits, asked)


def test_equal_tokens_stand_by_id(native: Native) -> None:
    logits = torch.tensor([[0.0, 5.0, -0.0, 5.0, 5.0]]).repeat(5, 1)
    asked = [HIGHEST, *(Rule(1, top_k=2, point=point) for point in (0, 0.49, 0.5, LAST_POINT))]
    assert native.draw(logits, asked) == draw(logits, asked) == [1, 1, 1, 3, 3]
    zeros = torch.tensor([[-0.0, 0.0]])
    assert native.draw(zeros, [HIGHEST]) == draw(zeros, [HIGHEST]) == [0]


def test_weights_are_those_of_the_exponential() -> None:
    gaps = torch.linspace(0, 25, 10_000)
    exact = (-gaps.double() / 0.9).exp() * 2**42
    assert (weigh(gaps, 0.9) - exact).abs().max() < 0.51
    assert int(weigh(torch.zeros(1), 0.9)) == 2**42
    assert (weigh(gaps, 0.9).diff() <= 0).all()


def mask(ids: Iterable[int], size: int) -> bytes:
    return sum(1 << id for id in set(ids)).to_bytes(-(-size // 8) + 3, "little")


@per_variant
@given(
    asked=st.lists(rules, min_size=1, max_size=5),
    size=st.sampled_from([1, 2, 7, 8, 255, 256, 257, 1030]),
    seed=st.integers(0, 10_000),
    spread=st.sampled_from([0.01, 1.0, 30.0]),
    few=st.booleans(),
)
def test_a_mask_is_minus_infinity_on_what_it_forbids(
    native: Native, asked: list[Rule], size: int, seed: int, spread: float, few: bool
) -> None:
    logits = (numbers(len(asked), size, seed) * 4).round() / 4 * spread
    chooser, barred, masks = random.Random(seed), logits.clone(), list[bytes | None]()
    for row in range(len(asked)):
        kept = chooser.sample(range(size), chooser.randint(1, min(size, 3) if few else size))
        if chooser.random() < 0.2:
            masks.append(None)
            continue
        masks.append(mask([*kept, size + 1], size))  # a tokenizer may know more than the model
        barred[row] = -torch.inf
        barred[row, kept] = logits[row, kept]
    expected = draw(barred, asked)
    assert draw(logits, asked, masks) == expected
    assert native.draw(logits, asked, masks) == expected


def test_a_mask_that_leaves_nothing_is_told_of_its_row_alone(native: Native) -> None:
    logits, asked = numbers(3, 13), [HIGHEST, Rule(1, point=0.5), Rule(1, point=0.5)]
    masks = [mask([3], 13), mask([13, 14], 13), None]
    for one in (native.draw, draw):
        drawn = one(logits, asked, masks)
        assert drawn[:2] == [3, NOTHING]
        assert drawn[2:] == one(logits[2:], asked[2:])


def test_a_mask_too_short_or_too_few_are_refused(native: Native) -> None:
    for one in (native.draw, draw):
        with pytest.raises(ValueError, match="too few for 17 tokens"):
            one(numbers(1, 17), [HIGHEST], [b"\xff\xff"])
        with pytest.raises(ValueError, match="1 masks for 2 rows"):
            one(numbers(2, 8), [HIGHEST] * 2, [b"\xff"])


@pytest.mark.parametrize("bad", [math.nan, -math.nan])
def test_a_mask_hides_no_broken_number(native: Native, bad: float) -> None:
    logits = numbers(1, 20)
    logits[0, 5] = bad
    for one in (native.draw, draw):
        for kept in ([3], []):
            with pytest.raises(FloatingPointError):
                one(logits, [HIGHEST], [mask(kept, 20)])


@pytest.mark.parametrize("bad", [math.nan, -math.nan, math.inf])
def test_broken_rows_are_told(native: Native, bad: float) -> None:
    logits = numbers(3, 300)
    logits[1, 299] = bad
    for rule in (HIGHEST, Rule(1.0)):
        for one in (native.draw, draw):
            with pytest.raises(FloatingPointError):
                one(logits, [rule] * 3)


def test_row_without_a_finite_logit_is_told(native: Native) -> None:
    for one in (native.draw, draw):
        with pytest.raises(FloatingPointError):
            one(torch.full((1, 9), -torch.inf), [HIGHEST])


def test_rows_may_be_part_of_wider_ones(native: Native) -> None:
    wide, asked = numbers(6, 500), [Rule(1, point=0.3)] * 3
    part = wide[::2, 100:300]
    assert native.draw(part, asked) == draw(part, asked)


def test_threads_change_nothing(library: Library) -> None:
    one, several, logits = Native(library), Native(library, threads=4), numbers(40, 3000)
    asked = [Rule(1, 0, 0.9, 0, index / 40) for index in range(40)]
    wanted = one.draw(logits, asked)
    wrong: list[int] = []

    def call() -> None:
        wrong.extend(several.draw(logits, asked) != wanted for _ in range(20))

    callers = [Thread(target=call) for _ in range(2)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    several.close()
    assert wrong == [False] * 40


@pytest.mark.parametrize(
    "logits", [numbers(3, 9).double(), numbers(2, 9), numbers(9, 3).T, torch.empty(3, 0)]
)
def test_bad_logits_are_refused(native: Native, logits: Tensor) -> None:
    with pytest.raises(ValueError, match="logits"):
        native.draw(logits, [HIGHEST] * 3)
