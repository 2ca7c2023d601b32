"""What the settings put together."""

import queue
from pathlib import Path

import pytest

from cloister.errors import BadModel
from tests.fakes.vocabulary import byte_tokenizer, write_folder
from worker.build import build
from worker.engine.request import Request, Sampling, Token
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


def test_each_kind_of_drafts_gives_the_same_answer() -> None:
    plain, none = answer(draft="off")
    looked_up, some = answer(draft="ngram")
    guessed, many = answer(draft="novice")
    assert plain == looked_up == guessed
    assert none == 0 < some < many


def test_draft_model_of_another_vocabulary_is_refused(tmp_path: Path) -> None:
    write_folder(tmp_path, byte_tokenizer())
    with pytest.raises(BadModel, match=r"draft = .*: its vocabulary is not that of novice"):
        build(settings(draft=str(tmp_path)))
