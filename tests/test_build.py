"""What the settings put together."""

import queue
from pathlib import Path

import pytest
import torch

from cloister.errors import BadModel
from tests.fakes.vocabulary import byte_tokenizer, write_folder
from worker.build import build, low_bit_for
from worker.engine.request import Request, Sampling, Token
from worker.execution.local import LocalExecution
from worker.execution.seam import Site, SiteSpec, Weight
from worker.kernels.library import Library
from worker.kernels.lowbit import INT4, INT8
from worker.kernels.native import Native
from worker.kernels.twins import Twins
from worker.model.source import find_model
from worker.settings import WorkerSettings


def settings(**changes: object) -> WorkerSettings:
    return WorkerSettings.model_validate(
        {"cache_mb": 8, "threads": 1, "dtype": "float32", **changes}
    )


def answer(**changes: object) -> tuple[list[int], int]:
    """Novice's own words, and how many of them were guessed."""
    worker = build(settings(**changes))
    heard: queue.SimpleQueue[object] = queue.SimpleQueue()
    prompt = tuple(worker.served.tokenizer.encode("the cat and the dog and " * 4))
    try:
        worker.engine.submit(Request("a", prompt, 24, Sampling(temperature=0)), heard.put)
        tokens = [heard.get(timeout=60) for _ in range(24)]
        return [token.id for token in tokens if isinstance(token, Token)], (
            worker.engine.load().accepted_tokens
        )
    finally:
        worker.engine.close()


@pytest.mark.parametrize("kept", ["auto", "int8"])
def test_each_kind_of_drafts_gives_the_same_answer(kept: str) -> None:
    plain, none = answer(draft="off", kv_cache_dtype=kept)
    looked_up, some = answer(draft="ngram", kv_cache_dtype=kept)
    guessed, many = answer(draft="novice", kv_cache_dtype=kept)
    assert plain == looked_up == guessed
    assert none == 0 < some < many


def test_draft_model_of_another_vocabulary_is_refused(tmp_path: Path) -> None:
    write_folder(tmp_path, byte_tokenizer())
    with pytest.raises(BadModel, match=r"draft = .*: its vocabulary is not that of novice"):
        build(settings(draft=str(tmp_path)))


@pytest.fixture
def large(monkeypatch: pytest.MonkeyPatch) -> Path:
    """novice, taken for a large model."""
    monkeypatch.setattr(f"{build.__module__}.SMALL_BYTES", 1)
    return find_model("novice")


def test_large_models_are_held_in_int8_where_nothing_else_is_asked_for(large: Path) -> None:
    plain = {"dtype": "auto"}
    assert low_bit_for(settings(**plain), large) == INT8
    assert low_bit_for(settings(**plain, weights="bf16"), large) == "none"
    assert low_bit_for(settings(**plain, weights="int4"), large) == INT4
    assert low_bit_for(settings(**plain, task="embed"), large) == "stored"
    assert low_bit_for(settings(dtype="float32"), large) == "stored"
    split = {"execution": "split", "gpu": ["tcp://127.0.0.1:1"]}
    assert low_bit_for(settings(**plain, **split), large) == "none"


def test_small_models_are_held_as_they_are_stored() -> None:
    assert low_bit_for(settings(dtype="auto"), find_model("novice")) == "stored"


@pytest.mark.usefixtures("large")
@pytest.mark.parametrize(("is_compiled", "held"), [(True, torch.uint8), (False, torch.bfloat16)])
def test_int8_needs_compiled_kernels_unless_it_is_asked_for(
    library: Library, monkeypatch: pytest.MonkeyPatch, is_compiled: bool, held: torch.dtype
) -> None:
    kernels = Native(library) if is_compiled else Twins()
    monkeypatch.setattr(f"{build.__module__}.find_kernels", lambda *_, **__: kernels)
    heads: list[torch.dtype] = []
    site = LocalExecution.site

    def seen(own: LocalExecution, spec: SiteSpec, weight: Weight) -> Site:
        heads.append(weight.matrix.dtype)
        return site(own, spec, weight)

    monkeypatch.setattr(LocalExecution, "site", seen)
    build(settings(dtype="auto")).close()
    assert set(heads) == {held}
