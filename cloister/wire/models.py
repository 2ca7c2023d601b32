"""`GET /v1/models` and `/v1/models/{id}`."""

from typing import Literal

from cloister.wire.base import Answered


class Model(Answered):
    """A model that can be asked for. Two members are ours.

    Prompt and answer fit in `context_length`. `execution` is where linear layers run: `local` (in
    the worker), `split-blind`, `split-plain-int` or `split-plain` (on a GPU server, which sees
    noise, checked integers, or everything).
    """

    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: str
    context_length: int
    execution: str


class ModelList(Answered):
    object: Literal["list"] = "list"
    data: list[Model]
