import queue
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest

from cloister.errors import CloisterError
from tests.engine.fakes import ByteVocabulary, PagedModel
from worker.engine.drafts import OFF, Drafter
from worker.engine.engine import InferenceEngine
from worker.engine.limits import Limits
from worker.engine.request import Event, Request, Token


@dataclass
class Answer:
    """All that one request's listener heard."""

    events: "queue.Queue[Event]" = field(default_factory=queue.Queue)

    def wait(self) -> list[Token]:
        """The tokens up to the last one; raises the error that came instead."""
        tokens: list[Token] = []
        while not tokens or tokens[-1].finish is None:
            event = self.events.get(timeout=30)
            if isinstance(event, CloisterError):
                raise event
            tokens.append(event)
        return tokens

    def ids(self) -> list[int]:
        return [token.id for token in self.wait()]


class Bench:
    """An engine under test with its model."""

    def __init__(self, model: PagedModel, limits: Limits, drafter: Drafter = OFF) -> None:
        self.model = model
        self.engine = InferenceEngine(model, ByteVocabulary(), limits, drafter)

    def submit(self, request: Request) -> Answer:
        answer = Answer()
        self.engine.submit(request, answer.events.put)
        return answer

    def run(self, *requests: Request) -> list[list[int]]:
        """Submit all before the first step, then start and wait for all."""
        answers = [self.submit(request) for request in requests]
        self.engine.start()
        ids = [answer.ids() for answer in answers]
        self.engine.check()
        return ids


MakeBench = Callable[..., Bench]


@pytest.fixture
def bench() -> Iterator[MakeBench]:
    made: list[Bench] = []

    def make(model: PagedModel | None = None, drafter: Drafter = OFF, **limits: int) -> Bench:
        limited = Limits(**{"sequences": 8, **limits})
        made.append(Bench(model or PagedModel(), limited, drafter))
        return made[-1]

    yield make
    for one in made:
        one.engine.close()
