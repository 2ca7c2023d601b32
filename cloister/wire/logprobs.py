"""What is told about each token, in the shapes of chat and of completions."""

from cloister.wire.base import Answered


class TopLogprob(Answered):
    """`bytes` are the token's own part of the text's UTF-8; `token` shows them as text."""

    token: str
    logprob: float
    bytes: list[int]


class TokenLogprob(TopLogprob):
    top_logprobs: list[TopLogprob]


class ChatLogprobs(Answered):
    content: list[TokenLogprob]
    refusal: None = None


class CompletionLogprobs(Answered):
    """A prompt's first token follows nothing, so its members are null."""

    tokens: list[str]
    token_logprobs: list[float | None]
    top_logprobs: list[dict[str, float] | None]
    text_offset: list[int]
