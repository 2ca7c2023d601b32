"""`POST /v1/completions`: what is asked and what is answered."""

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Discriminator, Field, Tag

from cloister.wire.base import Answered, Count, Generation, TokenId, Usage
from cloister.wire.chat import FinishReason
from cloister.wire.logprobs import CompletionLogprobs

SEQUENCES = 128  # of all prompts together

Ids = Annotated[list[TokenId], Field(fail_fast=True, min_length=1)]
Texts = Annotated[list[str], Field(fail_fast=True, min_length=1, max_length=SEQUENCES)]
IdLists = Annotated[list[Ids], Field(fail_fast=True, min_length=1, max_length=SEQUENCES)]


def _form(prompt: object) -> str | None:
    """Which form a prompt has, by its first item; so that only one of them is tried."""
    if isinstance(prompt, str):
        return "str"
    if not isinstance(prompt, list):
        return None
    match prompt[:1]:
        case [str()]:
            return "list[str]"
        case [list()]:
            return "list[list]"
    return "list[int]"


Prompt = Annotated[
    Annotated[str, Tag("str")]
    | Annotated[Ids, Tag("list[int]")]
    | Annotated[Texts, Tag("list[str]")]
    | Annotated[IdLists, Tag("list[list]")],
    Discriminator(_form),
]


class CompletionRequest(Generation):
    """`prompt` is one text, or the token ids of one text, or a list of either."""

    prompt: Prompt
    max_tokens: Annotated[int, Field(ge=0)] | None = None
    best_of: Count | None = None
    echo: bool | None = None
    logprobs: Annotated[int, Field(ge=0, le=5)] | None = None

    @property
    def prompts(self) -> Sequence[str | list[int]]:
        """All prompts; a single one may be written without a list around it."""
        if isinstance(self.prompt, str):
            return [self.prompt]
        if isinstance(self.prompt[0], int):
            return [self.prompt]
        return self.prompt

    @property
    def candidates(self) -> int:
        """Sequences of one prompt."""
        return self.best_of or self.n or 1

    @property
    def is_ranked(self) -> bool:
        """Are only the most probable candidates told?"""
        return self.candidates > 1 and self.best_of is not None


class CompletionChoice(Answered):
    index: int
    text: str
    logprobs: CompletionLogprobs | None = None
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
    logprobs: CompletionLogprobs | None = None
    finish_reason: FinishReason | None


class CompletionChunk(Answered):
    """One event of a stream. `usage` is there only when asked for, and set in the last one."""

    id: str
    object: Literal["text_completion"]
    created: int
    model: str
    system_fingerprint: str
    choices: list[CompletionChunkChoice]
    obfuscation: str | None = None
    usage: Usage | None = None
