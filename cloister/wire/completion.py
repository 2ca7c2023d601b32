"""`POST /v1/completions`: what is asked and what is answered."""

from typing import Annotated, Literal

from pydantic import Field

from cloister.wire.base import Answered, Generation, TokenId, Usage
from cloister.wire.chat import FinishReason


class CompletionRequest(Generation):
    """`prompt` is one text, or the token ids of one text."""

    prompt: str | Annotated[list[TokenId], Field(fail_fast=True, min_length=1)]


class CompletionChoice(Answered):
    index: int
    text: str
    logprobs: None = None
    finish_reason: FinishReason


class CompletionAnswer(Answered):
    id: str
    object: Literal["text_completion"] = "text_completion"
    created: int
    model: str
    system_fingerprint: str
    choices: list[CompletionChoice]
    usage: Usage


class CompletionChunkChoice(Answered):
    index: int
    text: str
    logprobs: None = None
    finish_reason: FinishReason | None


class CompletionChunk(Answered):
    """One event of a stream. `usage` is there only when asked for, and set in the last one."""

    id: str
    object: Literal["text_completion"]
    created: int
    model: str
    system_fingerprint: str
    choices: list[CompletionChunkChoice]
    usage: Usage | None = None
