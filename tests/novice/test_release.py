"""The model that ships, through the engine that serves it."""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pytest

from tests.novice.reference import reference
from worker.novice.answers import Generate, answers
from worker.novice.evaluate import SETS, evaluate, load_items, scores

MODEL = Path("worker/novice/model")


@pytest.fixture(scope="module")
def generate() -> Iterator[Generate]:
    with answers(MODEL) as generate:
        yield generate


@pytest.mark.parametrize("which", SETS)
def test_each_skill_reaches_its_score(generate: Generate, which: str) -> None:
    items = list(load_items(which))
    reached = scores(evaluate(generate, items))
    overall = reached.pop("overall")
    assert overall >= 0.85, reached
    assert min(reached.values()) >= 0.7, reached


def test_engine_answers_as_transformers_does() -> None:
    items = list(islice(load_items("first"), 0, None, 7))
    judge = reference(MODEL)
    with answers(MODEL, dtype="float32") as generate:
        for item in items:
            assert generate(item.messages, item.tools) == judge(item.messages, item.tools)


def test_weights_fit_the_repository() -> None:
    assert (MODEL / "model.safetensors").stat().st_size <= 16_000_000
