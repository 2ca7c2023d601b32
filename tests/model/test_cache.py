"""The cache's types: what they take, where they fit, and what rounding it changes."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from cloister.errors import BadSettings
from tests.model.checkpoints import config_of, difference, ours, prompt, save, scattered, whole
from worker.model.cache import Cache, CacheType, cache_dtype, page_bytes
from worker.model.shapes import SHAPES

LLAMA = SHAPES["llama-3.2-1b"]
TYPES = [torch.float32, torch.bfloat16, torch.int8]


@pytest.mark.parametrize("dtype", TYPES)
def test_pages_take_what_was_counted(dtype: torch.dtype) -> None:
    config = replace(LLAMA, layers=2)
    cache = Cache(page_count=3, page_size=16, head_dim=config.head_dim, dtype=dtype)
    held = sum(cache.add(config.kv_heads).nbytes for _ in range(config.layers))
    assert held == 3 * page_bytes(config, 16, dtype)


def test_int8_halves_the_cache() -> None:
    sizes = [page_bytes(LLAMA, 16, dtype) for dtype in TYPES]
    assert sizes[0] / sizes[1] == 2
    assert sizes[1] / sizes[2] == pytest.approx(2 * 64 / 66)  # a head of 64, and its scale


@pytest.mark.parametrize(
    ("kind", "weights", "wanted"),
    [
        ("auto", torch.float32, torch.float32),
        ("auto", torch.bfloat16, torch.bfloat16),
        ("bfloat16", torch.float32, torch.bfloat16),
        ("int8", torch.bfloat16, torch.int8),
    ],
)
def test_auto_is_the_type_of_the_weights(
    kind: CacheType, weights: torch.dtype, wanted: torch.dtype
) -> None:
    assert cache_dtype(kind, weights) == wanted


@pytest.mark.parametrize(("page_size", "head_dim"), [(6, 64), (16, 66)])
def test_int8_that_would_not_fit_is_refused(page_size: int, head_dim: int) -> None:
    with pytest.raises(BadSettings, match=f"page_size = {page_size}, .* multiples of 4"):
        Cache(page_count=1, page_size=page_size, head_dim=head_dim, dtype=torch.int8)


@pytest.mark.parametrize(("kind", "limit"), [("bfloat16", 0.01), ("int8", 0.02)])
def test_rounded_cache_changes_logits_little(tmp_path: Path, kind: CacheType, limit: float) -> None:
    save(config_of("Llama"), tmp_path)
    step = whole(prompt(60), scattered())
    rounded = ours(tmp_path, kv_cache_dtype=kind).forward(step)
    error = difference(rounded, ours(tmp_path).forward(step))
    assert 0 < error < limit
