"""A worker's app around the real engine, on a model without weights."""

from collections.abc import Iterator
from contextlib import contextmanager

from fastapi import FastAPI

from tests.engine.fakes import PagedModel
from worker.api.app import create_app
from worker.api.served import Served
from worker.engine.engine import InferenceEngine
from worker.engine.limits import Limits
from worker.engine.request import Event, Listener, Request


class RecordingEngine(InferenceEngine):
    """Remembers what it was asked and what it said."""

    def __init__(self, served: Served, limits: Limits) -> None:
        self.model = PagedModel(page_count=200, context_length=served.context_length)
        self.model.vocabulary_size = served.vocabulary_size
        self.requests: list[Request] = []
        self.events: dict[str, list[Event]] = {}
        super().__init__(self.model, served.tokenizer, limits)

    def submit(self, request: Request, listener: Listener) -> None:
        heard = self.events.setdefault(request.id, [])

        def hear(event: Event) -> None:
            heard.append(event)
            listener(event)

        super().submit(request, hear)
        self.requests.append(request)


@contextmanager
def living(
    served: Served, limits: Limits | None = None
) -> Iterator[tuple[FastAPI, RecordingEngine]]:
    """The app and its engine, which runs."""
    engine = RecordingEngine(served, limits or Limits())
    engine.start()
    try:
        yield create_app(served, engine), engine
    finally:
        engine.close()
