"""The seam between the engine and the model."""

from typing import Protocol

from torch import Tensor

from worker.engine.step import Step


class Model(Protocol):
    """What the engine needs of a model."""

    vocabulary_size: int
    context_length: int
    page_size: int  # tokens a page
    page_count: int  # pages in the cache

    def forward(self, step: Step) -> Tensor:
        """Write keys and values of the step's rows into their pages and return the wanted logits.

        Returns float32 `[sum of segment.logits, vocabulary_size]`, segments in order. A model that
        embeds returns rows of its last hidden state in place of logits, and takes only requests
        for vectors.
        """


def context_limit(model: Model) -> int:
    """Tokens of prompt and answer that one request may hold: the model's context, or the cache."""
    return min(model.context_length, model.page_count * model.page_size)
