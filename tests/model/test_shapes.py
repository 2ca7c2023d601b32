"""Named shapes with random weights."""

import pytest
import torch

from cloister.errors import BadModel, BadSettings
from tests.model.checkpoints import prompt, whole
from worker.execution.local import LocalExecution
from worker.model.cache import page_bytes
from worker.model.load import random_model
from worker.model.shapes import SHAPES, random_weights, shape

SMALL = "small-5m"


def test_same_seed_same_weights() -> None:
    one, same, other = (random_weights(shape(SMALL), torch.float32, seed) for seed in (1, 1, 2))
    assert torch.equal(one.layers[3].down.matrix, same.layers[3].down.matrix)
    assert not torch.equal(one.layers[3].down.matrix, other.layers[3].down.matrix)
    assert not torch.equal(one.layers[3].down.matrix, one.layers[4].down.matrix)


def test_random_model_computes_finite_logits_that_depend_on_the_prompt() -> None:
    decoder = random_model(SMALL, execution=LocalExecution(), page_count=4)
    logits = decoder.forward(whole(prompt(20), (3, 1)))
    assert logits.shape == (20, 2048)
    assert bool(logits.isfinite().all())
    assert float(logits.std(dim=0).mean()) > 0.05


def test_llama_1b_has_its_published_size() -> None:
    config = SHAPES["llama-3.2-1b"]
    layer = config.hidden * (sum(config.qkv_sizes) + config.hidden + 3 * config.intermediate)
    weights = config.vocabulary_size * config.hidden + config.layers * layer
    assert 1.235e9 < weights < 1.237e9
    assert page_bytes(config, 16, torch.bfloat16) == 16 * 16 * 2 * 8 * 64 * 2


def test_unknown_shape_lists_the_known_ones() -> None:
    with pytest.raises(BadModel, match=r"llama-3\.2-1b"):
        shape("gpt-5")


@pytest.mark.parametrize(
    "cache", [{}, {"page_count": 1, "cache_bytes": 1}, {"cache_bytes": 100}, {"page_count": 0}]
)
def test_cache_size_is_given_once_and_holds_a_page(cache: dict[str, int]) -> None:
    with pytest.raises(BadSettings, match="cache"):
        random_model(SMALL, execution=LocalExecution(), **cache)
