"""The model that ships, through the engine that serves it."""

import json
from itertools import islice
from pathlib import Path

import pytest

from tests.novice.reference import reference
from worker.novice.answers import answers
from worker.novice.evaluate import SETS, evaluate, load_items, scores

MODEL = Path(__file__).parents[2] / "worker" / "novice" / "model"

Scores = dict[str, dict[str, float]]


@pytest.fixture(scope="module")
def reached() -> Scores:
    """Scores by set and skill, with greedy answers."""
    with answers(MODEL) as generate:
        return {which: scores(evaluate(generate, list(load_items(which)))) for which in SETS}


def test_scores_are_those_told(reached: Scores) -> None:
    told = json.loads((MODEL / "scores.json").read_text(encoding="utf-8"))
    for which in SETS:
        assert reached[which].keys() == told[which].keys()
        assert abs(reached[which]["overall"] - told[which]["overall"]) <= 0.02


def test_scores_reach_the_goal(reached: Scores) -> None:
    assert min(reached["release"].values()) >= 0.7
    assert reached["release"]["overall"] >= 0.85


def test_engine_answers_as_transformers_does() -> None:
    items = list(islice(load_items("development"), 0, None, 7))
    judge = reference(MODEL)
    with answers(MODEL, dtype="float32") as generate:
        for item in items:
            assert generate(item.messages, item.tools) == judge(item.messages, item.tools)


def test_weights_fit_the_repository() -> None:
    assert (MODEL / "model.safetensors").stat().st_size <= 16_000_000
