"""The columns: each is a way to run the same model, opened once and measured several times."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, get_args

import torch
from torch import Tensor

from benchmarks._split.servers import ROWS, Running
from benchmarks._split.source import Source
from benchmarks._split.zeromq_modules import Uncached
from worker.engine.step import Segment, Step
from worker.execution.split.address import Address, Scheme
from worker.model.decoder import Decoder

Name = Literal[
    "a-grpc",
    "b-zeromq",
    "b-causal",
    "c-tee",
    "plain",
    "plain-int",
    "blind-warm",
    "blind-cold",
    "helper",
]
NAMES: tuple[Name, ...] = get_args(Name)
Text = Sequence[int]


@dataclass(frozen=True, slots=True)
class Setup:
    """What all columns of a run have in common. `tokens` is the room of the cache.

    `gpu` is the address of a running `cloister gpu`; without it servers are started here.
    """

    source: Source
    dtype: torch.dtype
    tokens: int
    null: bool = False
    device: str = "cpu"
    threads: int = 1
    delay_s: float = 0.0
    at_once: int = 2
    chunk_rows: int = ROWS
    gpu: Address | None = None
    wire: Scheme = "tcp"
    deadline_s: float = 120.0


class Column(Protocol):
    """Texts of one length, read at once and then extended by a token each, again and again."""

    server: Running
    rereads: bool  # reads the whole text again for each token

    def ready(self, rows: int) -> None:
        """Nobody counts yet: `rows` rows will be computed."""

    def read(self, texts: Sequence[Text]) -> Tensor:
        """float32 [texts, vocabulary]: what comes behind each."""

    def extend(self, tokens: Text) -> Tensor:
        """The same with one more token behind each text."""

    def score(self, text: Text) -> Tensor:
        """float32 [tokens, vocabulary]: what comes behind each token of one text."""


class Cached:
    """A decoder with its KV cache in the TEE."""

    rereads = False

    def __init__(
        self,
        decoder: Decoder,
        server: Running,
        ready: Callable[[int], None],
        *,
        all_logits: bool = False,
    ) -> None:
        self.server = server
        self.ready = ready
        self._decoder = decoder
        self._all_logits = all_logits
        self._lengths: list[int] = []

    def read(self, texts: Sequence[Text]) -> Tensor:
        self._lengths = [0] * len(texts)
        wanted = len(texts[0]) if self._all_logits else 1
        return self._step(texts, wanted)[wanted - 1 :: wanted]

    def extend(self, tokens: Text) -> Tensor:
        return self._step([(token,) for token in tokens], 1)

    def score(self, text: Text) -> Tensor:
        self._lengths = [0]
        return self._step([text], len(text))

    def _step(self, texts: Sequence[Text], wanted: int) -> Tensor:
        segments = tuple(
            Segment(tuple(text), length, self._pages(index), wanted)
            for index, (text, length) in enumerate(zip(texts, self._lengths, strict=True))
        )
        self._lengths = [segment.start + len(segment.tokens) for segment in segments]
        return self._decoder.forward(Step(segments))

    def _pages(self, index: int) -> tuple[int, ...]:
        """Each text has an equal share of the cache."""
        share = self._decoder.page_count // len(self._lengths)
        return tuple(range(index * share, (index + 1) * share))


class Again:
    """Baseline B."""

    rereads = True

    def __init__(self, model: Uncached, server: Running) -> None:
        self.server = server
        self._model = model
        self._texts: list[list[int]] = []

    def ready(self, rows: int) -> None:
        pass

    def read(self, texts: Sequence[Text]) -> Tensor:
        self._texts = [list(text) for text in texts]
        return self._model.logits(self._texts)

    def extend(self, tokens: Text) -> Tensor:
        for text, token in zip(self._texts, tokens, strict=True):
            text.append(token)
        return self._model.logits(self._texts)

    def score(self, text: Text) -> Tensor:
        return torch.cat([self._model.logits([text[:end]]) for end in range(1, len(text) + 1)])
