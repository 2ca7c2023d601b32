"""The sampler against transformers' own processors, and against the distribution it promises."""

import warnings
from collections.abc import Sequence

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from worker.engine.choices import choose
from worker.engine.request import Sampling
from worker.engine.sampler import Pick, adjust, penalise, uniform
from worker.kernels.draw import Rule, candidates

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from transformers import generation

SIZE = 50


def random_logits(seed: int, size: int = SIZE) -> torch.Tensor:
    return 4 * torch.randn(size, generator=torch.Generator().manual_seed(seed))


def choices(logits: torch.Tensor, picks: Sequence[Pick]) -> list[list[int]]:
    return [choice.ids for choice in choose(logits, picks)]


def distribution(logits: torch.Tensor, rule: Rule) -> torch.Tensor:
    """The probability of each token when one is drawn."""
    ids, weights = candidates(logits, rule)
    probabilities = torch.zeros(len(logits), dtype=torch.float64)
    probabilities[ids] = weights.double() / weights.sum()
    return probabilities


def reference(logits: torch.Tensor, sampling: Sampling) -> torch.Tensor:
    """The distribution of transformers' processors, in the same order."""
    scores = logits[None] / sampling.temperature
    ids = torch.zeros(1, 1, dtype=torch.int64)
    if sampling.top_k:
        scores = generation.TopKLogitsWarper(sampling.top_k)(ids, scores)
    if sampling.top_p < 1:
        scores = generation.TopPLogitsWarper(sampling.top_p)(ids, scores)
    if sampling.min_p:
        scores = generation.MinPLogitsWarper(sampling.min_p)(ids, scores)
    return scores[0].softmax(-1).double()


@given(
    seed=st.integers(0, 10_000),
    temperature=st.floats(0.2, 2),
    top_k=st.sampled_from([0, 1, 7, 500]),
    top_p=st.sampled_from([1.0, 0.9, 0.35]),
    min_p=st.sampled_from([0.0, 0.05, 0.5]),
)
def test_candidates_equal_transformers(
    seed: int, temperature: float, top_k: int, top_p: float, min_p: float
) -> None:
    found = distribution(random_logits(seed), Rule(temperature, top_k, top_p, min_p))
    expected = reference(random_logits(seed), Sampling(temperature, top_p, top_k, min_p))
    assert torch.allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("scale", [0.001, 4])
def test_candidates_of_a_large_vocabulary_equal_transformers(scale: float) -> None:
    logits = random_logits(1, size=5000) * scale
    found = distribution(logits, Rule(temperature=1, top_p=0.9))
    assert torch.allclose(found, reference(logits, Sampling(top_p=0.9)), atol=1e-5)


def test_repetition_penalty_equals_transformers() -> None:
    pick = Pick(Sampling(repetition_penalty=1.3), prompt=[1, 2, 2], generated=[40])
    processor = generation.RepetitionPenaltyLogitsProcessor(1.3)
    expected = processor(torch.tensor([[1, 2, 2, 40]]), random_logits(3)[None].clone())[0]
    assert torch.equal(penalise(random_logits(3), pick), expected)


def test_presence_and_frequency_follow_their_formula() -> None:
    sampling = Sampling(presence_penalty=0.5, frequency_penalty=0.25)
    lowered = penalise(torch.zeros(5), Pick(sampling, prompt=[0], generated=[1, 2, 2]))
    assert lowered.tolist() == [0, -0.75, -1.0, 0, 0]


def test_penalties_leave_the_logits_given_as_they_were() -> None:
    logits = random_logits(5)
    penalise(logits, Pick(Sampling(presence_penalty=2), [], [1, 2, 3]))
    assert torch.equal(logits, random_logits(5))


def test_bias_is_added_behind_the_penalties_and_bans_are_last() -> None:
    sampling = Sampling(repetition_penalty=2, bias=((1, 5.0), (2, -100.0), (3, 100.0)))
    adjusted = adjust(torch.ones(5), Pick(sampling, [1], [], stop_ids={3}, min_tokens=1))
    assert adjusted.tolist() == [1, 5.5, -99, -torch.inf, 1]


def test_bias_equals_transformers() -> None:
    pick = Pick(Sampling(bias=((4, 2.5), (9, -3.0))), prompt=[1], generated=[])
    processor = generation.SequenceBiasLogitsProcessor({(4,): 2.5, (9,): -3.0})
    expected = processor(torch.tensor([[1]]), random_logits(3)[None].clone())[0]
    assert torch.allclose(adjust(random_logits(3), pick), expected)


@pytest.mark.parametrize("temperature", [0, 1])
def test_banned_tokens_are_never_chosen(temperature: float) -> None:
    rules = {"stop_ids": {1, 2, 99}, "min_tokens": 1}
    picks = [Pick(Sampling(temperature, seed=seed), [], [], **rules) for seed in range(500)]
    chosen = choices(torch.tensor([[1.0, 9.0, 9.0, 1.0]]).expand(500, 4), picks)
    assert {id for ids in chosen for id in ids} <= {0, 3}
    forced = choices(torch.randn(1, SIZE), [Pick(Sampling(bias=((7, 100.0),)), [], [])])
    assert forced == [[7]]


def test_choices_follow_the_distribution() -> None:
    logits = random_logits(9, size=8) / 3
    picks = [Pick(Sampling(0.8, 0.95, seed=seed), [], []) for seed in range(20_000)]
    chosen = torch.tensor(choices(logits.expand(20_000, 8), picks)).flatten()
    counts = torch.bincount(chosen, minlength=8)
    expected = distribution(logits, Rule(temperature=0.8, top_p=0.95)) * 20_000
    seen = expected > 0
    chi_square = ((counts - expected)[seen] ** 2 / expected[seen]).sum()
    assert counts[~seen].sum() == 0
    assert chi_square < 30  # 7 degrees of freedom at most: p < 1e-4


def test_row_of_a_batch_is_chosen_as_if_alone() -> None:
    logits = torch.stack([random_logits(seed) for seed in range(6)])
    picks = [Pick(Sampling(temperature=seed % 3, seed=seed), [], [seed]) for seed in range(6)]
    alone = [choices(logits[row : row + 1], [picks[row]])[0] for row in range(6)]
    assert choices(logits, picks) == alone


def test_temperature_zero_is_greedy_and_knows_penalties() -> None:
    logits = torch.tensor([[1.0, 3.0, 2.0]])
    assert choices(logits, [Pick(Sampling(temperature=0), [], [])]) == [[1]]
    assert choices(logits, [Pick(Sampling(0, presence_penalty=1.5), [], [1])]) == [[2]]


def test_broken_logits_are_an_error() -> None:
    for bad in (float("nan"), float("inf")):
        with pytest.raises(FloatingPointError):
            choices(torch.tensor([[0.0, bad]]), [Pick(Sampling(), [], [])])


@given(seed=st.integers(-(2**63), 2**63 - 1), index=st.integers(0, 2**40))
def test_random_numbers_lie_in_the_unit_interval(seed: int, index: int) -> None:
    assert 0 <= uniform(seed, index) < 1


@pytest.mark.parametrize("temperature", [5e-324, 1e-308, 1e-30])
def test_least_temperature_is_greedy(temperature: float) -> None:
    logits = torch.tensor([[1.0, 90.0, -torch.inf, 89.0]])
    picks = [Pick(Sampling(temperature=temperature), prompt=(0,), generated=())]
    assert choices(logits, picks) == [[1]]
