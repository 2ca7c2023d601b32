"""`POST /tokenize` and `/detokenize`: text to token ids and back, in vLLM's shapes."""

from typing import Annotated, Any, Literal

from pydantic import Field

from cloister.errors import BadRequest, TooLarge
from cloister.wire import parse
from cloister.wire.base import Answered, Asked, TokenId
from cloister.wire.chat import AnyMessage, Tool

MAX_BYTES = 1024 * 1024  # of a body, since an answer has several times its size
CHAT_ONLY = ("tools", "add_generation_prompt", "chat_template_kwargs")


class TokenizeRequest(Asked):
    """Either a `prompt`, as completions take it, or the `messages` of a chat.

    Without `add_special_tokens` a prompt gets those of its tokenizer, and a chat none besides those
    that its template writes: as when they are answered.
    """

    model: str | None = None
    prompt: str | None = None
    messages: Annotated[list[AnyMessage], Field(fail_fast=True, min_length=1)] | None = None
    tools: Annotated[list[Tool], Field(fail_fast=True, max_length=128)] | None = None
    add_generation_prompt: bool | None = None
    continue_final_message: Literal[False] | None = None
    chat_template_kwargs: dict[str, Any] | None = None
    add_special_tokens: bool | None = None
    return_token_strs: bool | None = None


class Tokenized(Answered):
    """`token_strs` is null unless asked for."""

    count: int
    max_model_len: int
    tokens: list[int]
    token_strs: list[str] | None


class DetokenizeRequest(Asked):
    model: str | None = None
    tokens: Annotated[list[TokenId], Field(fail_fast=True)]


class Detokenized(Answered):
    prompt: str


def parse_tokenize(body: bytes) -> TokenizeRequest:
    """Raises `BadRequest` or `TooLarge`."""
    members = parse.with_messages(_members(body))
    wire = parse.validated(TokenizeRequest, members)
    if (wire.prompt is None) == (wire.messages is None):
        raise BadRequest("prompt: give either this or messages", param="prompt")
    for name in CHAT_ONLY:
        if wire.messages is None and getattr(wire, name) is not None:
            raise BadRequest(f"{name}: allowed only with messages", param=name)
    parse.check_contents(wire.messages or ())
    return wire


def parse_detokenize(body: bytes) -> DetokenizeRequest:
    """Raises `BadRequest` or `TooLarge`."""
    return parse.validated(DetokenizeRequest, _members(body))


def _members(body: bytes) -> dict[str, Any]:
    if len(body) > MAX_BYTES:
        raise TooLarge(f"the body has {len(body)} bytes; limit of this route: {MAX_BYTES}")
    return parse.parse_object(body)
