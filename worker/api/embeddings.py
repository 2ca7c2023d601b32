"""Vectors of texts: from the wire to requests that want one each, and back.

A vector is the last token's hidden state, cut to the `dimensions` that are asked for and scaled to
length 1, so that cut ones compare as whole ones do (Kusupati et al. 2022).
"""

import base64
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from cloister.errors import BadRequest, ContextExceeded
from cloister.wire.base import Usage
from cloister.wire.embedding import Embedding, EmbeddingAnswer, EmbeddingRequest, EmbeddingUsage
from worker.api.answer import Job
from worker.api.choice import Choice, Opening, Piece
from worker.api.frames import OpenAIStream
from worker.api.parts import PlainReader
from worker.api.served import Served
from worker.api.to_request import check_ids
from worker.engine.request import Request, Token

SMALLEST = 1e-12  # so that a vector of zeros stays one

Values = npt.NDArray[np.float32]


def embedding_job(wire: EmbeddingRequest, served: Served, id: str, tenant: str) -> Job:
    """Raises `BadRequest` or `ContextExceeded`."""
    size = served.vector_size
    if size is None:
        raise BadRequest(f"model: {served.name} is no embedding model", param="model")
    if wire.dimensions is not None and wire.dimensions > size:
        message = f"dimensions = {wire.dimensions}: the model's vectors have {size}"
        raise BadRequest(message, param="dimensions")
    choices = tuple(
        VectorChoice(Request(f"{id}.{place}", _ids(one, place, served), max_tokens=0, salt=tenant))
        for place, one in enumerate(wire.inputs)
    )
    return Job(choices, VectorFrames(wire, choices))


class VectorChoice(Choice):
    """One input, and its vector when it has come."""

    def __init__(self, request: Request) -> None:
        super().__init__(request, Opening(), PlainReader())
        self.vector: Sequence[float] = ()

    def add(self, index: int, token: Token) -> Piece:
        self.vector, self.cached = token.vector, token.cached
        return Piece(index, finish="stop")


class VectorFrames(OpenAIStream):
    """Writes an answer, which is never streamed."""

    def __init__(self, wire: EmbeddingRequest, choices: Sequence[VectorChoice]) -> None:
        self._wire = wire
        self._choices = choices

    def whole(self, told: Sequence[Sequence[Piece]], usage: Usage) -> bytes:
        places = range(len(told))
        data = [Embedding(index=place, embedding=self._told(place)) for place in places]
        tokens = EmbeddingUsage(prompt_tokens=usage.prompt_tokens, total_tokens=usage.total_tokens)
        answer = EmbeddingAnswer(data=data, model=self._wire.model, usage=tokens)
        return answer.model_dump_json().encode()

    def first(self, piece: Piece) -> bytes:
        raise AssertionError(f"vectors are not streamed: {piece.index}")

    part = end = first

    def usage(self, usage: Usage) -> bytes:
        raise AssertionError(f"vectors are not streamed: {usage.total_tokens}")

    def _told(self, index: int) -> list[float] | str:
        values = cut(self._choices[index].vector, self._wire.dimensions)
        if self._wire.encoding_format == "base64":
            return base64.b64encode(values.astype("<f4").tobytes()).decode()
        return [float(value) for value in values]


def cut(vector: Sequence[float], dimensions: int | None) -> Values:
    """The first `dimensions` numbers, scaled to length 1."""
    values = np.asarray(vector[:dimensions], dtype=np.float32)
    return values / np.float32(max(float(np.linalg.norm(values)), SMALLEST))


def _ids(one: str | list[int], place: int, served: Served) -> tuple[int, ...]:
    param = f"input[{place}]"
    if not one:
        raise BadRequest(f"{param}: must not be empty", param=param)
    if isinstance(one, list):
        check_ids(one, served, param)
        ids = one
    else:
        tokenizer = served.tokenizer
        ids = tokenizer.encode(tokenizer.shield(one), add_special_tokens=True)
    if not 0 < len(ids) <= served.context_length:
        raise ContextExceeded(
            f"{param}: {len(ids)} tokens; at least 1 and at most {served.context_length}, the "
            "model's context, are allowed",
            param=param,
        )
    return tuple(ids)
