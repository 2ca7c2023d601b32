"""A model that says the alphabet, at a pace that a test holds in its hand."""

import math
import threading

import torch
from torch import Tensor

from tests.engine.fakes import PagedModel
from worker.api.tokenizer import Tokenizer
from worker.engine.step import Segment, Step

LETTERS = "abcdefghijklmnopqrstuvwxyz"
PATIENCE_S = 60


class Alphabet(PagedModel):
    """Goes on behind the prompt's last letter, or with `a`, a letter a step; behind `z` it ends.

    `hold` stops it, `let` grants steps, `run` all of them; `fail` grants one that fails.
    """

    def __init__(self, tokenizer: Tokenizer, context_length: int) -> None:
        super().__init__(page_count=200, context_length=context_length)
        self.vocabulary_size = tokenizer.size
        self._fails = False
        self._letters = {tokenizer.encode(letter)[0]: letter for letter in LETTERS}
        self._ids = {letter: id for id, letter in self._letters.items()}
        self._end = min(tokenizer.end_ids)
        self._granted = math.inf
        self._news = threading.Condition()

    def hold(self) -> None:
        """No step any more, until some are granted."""
        with self._news:
            self._granted = 0

    def let(self, count: float) -> None:
        """So many more steps."""
        with self._news:
            self._granted += count
            self._news.notify_all()

    def run(self) -> None:
        self.let(math.inf)

    def fail(self) -> None:
        self._fails = True
        self.let(1)

    def forward(self, step: Step) -> Tensor:
        with self._news:
            assert self._news.wait_for(lambda: self._granted > 0, PATIENCE_S)
            self._granted -= 1
        if self._fails:
            self._fails = False
            raise RuntimeError("secret detail")
        return super().forward(step)

    def _rows(self, segment: Segment) -> list[Tensor]:
        last = segment.tokens[len(segment.tokens) - segment.logits :]
        return [self._after(self._letters.get(token)) for token in last]

    def _after(self, letter: str | None) -> Tensor:
        said = (LETTERS.index(letter) + 1) if letter else 0
        chosen = self._ids[LETTERS[said]] if said < len(LETTERS) else self._end
        return 50.0 * torch.nn.functional.one_hot(torch.tensor(chosen), self.vocabulary_size)
