"""A model without weights whose answers depend on every token it finds in its pages."""

import hashlib
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from worker.engine.step import Segment, Step

EOS = 256


class ByteVocabulary:
    """Ids 0 to 255 are bytes; 256 is the end."""

    def decode(self, ids: Sequence[int]) -> str:
        return bytes(id for id in ids if id < EOS).decode("utf-8", errors="replace")


class PagedModel:
    """Keeps token ids where a real model keeps keys and values.

    The logits of a row come from a hash of all tokens that the sequence's pages hold up to it, so
    a wrong page, a stale one or a wrong position changes the answer.
    """

    vocabulary_size = 257

    def __init__(self, page_count: int = 64, page_size: int = 4, context_length: int = 200) -> None:
        self.page_count = page_count
        self.page_size = page_size
        self.context_length = context_length
        self.cache = torch.full((page_count, page_size), -1)
        self.steps: list[Step] = []

    def forward(self, step: Step) -> Tensor:
        self.steps.append(step)
        for segment in step.segments:
            assert len(segment.pages) * self.page_size >= segment.start + len(segment.tokens)
            for position, token in enumerate(segment.tokens, start=segment.start):
                page = segment.pages[position // self.page_size]
                self.cache[page, position % self.page_size] = token
        rows = [row for segment in step.segments for row in self._rows(segment)]
        return torch.stack(rows) if rows else torch.empty(0, self.vocabulary_size)

    def _rows(self, segment: Segment) -> Iterator[Tensor]:
        end = segment.start + len(segment.tokens)
        history = self.cache[list(segment.pages)].flatten()[:end].tolist()
        assert -1 not in history
        for length in range(end - segment.logits + 1, end + 1):
            digest = hashlib.sha256(repr(history[:length]).encode()).digest()
            generator = torch.Generator().manual_seed(int.from_bytes(digest[:8], "little") >> 1)
            yield 3 * torch.randn(self.vocabulary_size, generator=generator)


class BrokenModel(PagedModel):
    """Fails on every step that holds the token 13."""

    def forward(self, step: Step) -> Tensor:
        if any(13 in segment.tokens for segment in step.segments):
            raise RuntimeError("secret detail")
        return super().forward(step)
