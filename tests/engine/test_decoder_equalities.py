"""The engine on the real decoder: however a prompt is computed, its logits are the same."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from tests.engine.conftest import Bench
from tests.engine.fakes import PagedModel
from worker.engine.limits import Limits
from worker.engine.request import Request, Sampling
from worker.engine.step import Step
from worker.execution.local import LocalExecution
from worker.model.load import random_model

TARGET_FROM = 100  # only the request under test reaches positions from here on


class Recording(PagedModel):
    """A real decoder that remembers the logits of positions from TARGET_FROM on."""

    def __init__(self, page_count: int = 64) -> None:
        self.decoder = random_model(
            "small-5m", execution=LocalExecution(), dtype=torch.float32, page_count=page_count
        )
        self.page_count, self.page_size = page_count, self.decoder.page_size
        self.vocabulary_size = self.decoder.vocabulary_size
        self.context_length = self.decoder.context_length
        self.logits: dict[int, Tensor] = {}

    def forward(self, step: Step) -> Tensor:
        logits = self.decoder.forward(step)
        wanting = [segment for segment in step.segments if segment.logits]
        for segment, row in zip(wanting, logits, strict=True):
            position = segment.start + len(segment.tokens)
            if position >= TARGET_FROM:
                self.logits[position] = row.clone()
        return logits


def request(name: str, length: int, max_tokens: int = 12) -> Request:
    generator = torch.Generator().manual_seed(ord(name))
    prompt = tuple(torch.randint(2048, (length,), generator=generator).tolist())
    return Request(name, prompt, max_tokens, Sampling(temperature=0))


TARGET = request("t", TARGET_FROM + 3)


def run(model: Recording, *requests: Request, **limits: int) -> tuple[list[int], Bench]:
    bench = Bench(model, Limits(**{"sequences": 8, **limits}))
    try:
        return bench.run(*requests)[-1], bench
    finally:
        bench.engine.close()


def in_batch(model: Recording) -> list[int]:
    return run(model, request("a", 5), request("b", 60), request("c", 17), TARGET)[0]


def in_chunks(model: Recording) -> list[int]:
    return run(model, TARGET, step_tokens=16)[0]


def from_the_cache(model: Recording) -> list[int]:
    bench = Bench(model, Limits(sequences=8))
    bench.run(replace(TARGET, id="first", max_tokens=1))
    try:
        tokens = bench.submit(TARGET).wait()
    finally:
        bench.engine.close()
    assert tokens[0].cached == 96
    return [token.id for token in tokens]


@pytest.mark.parametrize("way", [in_batch, in_chunks, from_the_cache])
def test_logits_are_those_of_the_request_alone(way: Callable[[Recording], list[int]]) -> None:
    alone, other = Recording(), Recording()
    assert way(other) == run(alone, TARGET)[0]
    agree(other, alone)


def test_preempted_equals_uninterrupted() -> None:
    alone, tight = Recording(), Recording(page_count=9)
    ids, bench = run(tight, request("a", 14, max_tokens=60), TARGET)
    assert bench.engine._scheduler.preemptions > 0
    assert ids == run(alone, TARGET)[0]
    agree(tight, alone)


def agree(one: Recording, other: Recording) -> None:
    assert one.logits.keys() == other.logits.keys()
    for position, row in one.logits.items():
        error = (row - other.logits[position]).norm() / other.logits[position].norm()
        assert error <= 1e-5
