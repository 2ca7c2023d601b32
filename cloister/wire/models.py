"""`GET /v1/models` and `/v1/models/{id}`."""

from typing import Literal

from cloister.wire.base import Answered


class Model(Answered):
    """A model that can be asked for. `context_length` is ours: prompt and answer fit in it."""

    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: str
    context_length: int


class ModelList(Answered):
    object: Literal["list"] = "list"
    data: list[Model]
