"""`POST /v1/embeddings`: what is asked and what is answered."""

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field

from cloister.wire.base import Answered, Asked
from cloister.wire.completion import Prompt


class EmbeddingRequest(Asked):
    """`input` is one text, or the token ids of one text, or a list of either."""

    model: str
    input: Prompt
    dimensions: Annotated[int, Field(ge=1)] | None = None
    encoding_format: Literal["float", "base64"] | None = None
    user: str | None = None

    @property
    def inputs(self) -> Sequence[str | list[int]]:
        """All inputs; a single one may be written without a list around it."""
        if isinstance(self.input, str):
            return [self.input]
        if isinstance(self.input[0], int):
            return [self.input]
        return self.input

    @property
    def stream(self) -> bool:
        """Vectors come whole."""
        return False


class Embedding(Answered):
    """`embedding` is a list of numbers, or base64 of them as little-endian float32."""

    object: Literal["embedding"] = "embedding"
    index: int
    embedding: list[float] | str


class EmbeddingUsage(Answered):
    prompt_tokens: int
    total_tokens: int


class EmbeddingAnswer(Answered):
    object: Literal["list"] = "list"
    data: list[Embedding]
    model: str
    usage: EmbeddingUsage
