"""Greedy answers through Cloister's own engine: what `evaluate` scores."""

import queue
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, Protocol

from cloister.errors import CloisterError
from worker.build import Worker, build
from worker.engine.request import Event, Request, Sampling
from worker.novice.chat import Json, Message, load_template, render
from worker.novice.template import TEMPLATE
from worker.settings import WorkerSettings

LONGEST_ANSWER = 300


class Generate(Protocol):
    """Answers greedily: the assistant's next message as text, tool calls and all."""

    def __call__(self, messages: Sequence[Message], tools: Sequence[Json]) -> str:
        """Return the text up to the end of the turn, which is not part of it."""


@contextmanager
def answers(folder: Path, dtype: Literal["auto", "float32"] = "auto") -> Iterator[Generate]:
    """Load a model folder into an engine and give its generate function."""
    settings = {"model": str(folder), "dtype": dtype, "cache_mb": 64, "sequences": 1}
    worker = build(WorkerSettings.model_validate(settings))
    template = load_template(TEMPLATE)

    def generate(messages: Sequence[Message], tools: Sequence[Json]) -> str:
        text = render(template, messages, tools, ask=True)
        return _answer(worker, worker.served.tokenizer.encode(text, add_special_tokens=False))

    try:
        yield generate
    finally:
        worker.engine.close()


def _answer(worker: Worker, prompt: Sequence[int]) -> str:
    events: queue.SimpleQueue[Event] = queue.SimpleQueue()
    request = Request(
        id="answer",
        prompt=tuple(prompt),
        max_tokens=LONGEST_ANSWER,
        sampling=Sampling(temperature=0),
        stop_ids=worker.served.tokenizer.end_ids,
    )
    worker.engine.submit(request, events.put)
    text = ""
    while True:
        event = events.get()
        if isinstance(event, CloisterError):
            raise event
        text += event.text
        if event.finish is not None:
            return text.strip()
