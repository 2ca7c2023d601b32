"""`/tokenize` and `/detokenize`: what a prompt comes to, exactly as when it is answered."""

from cloister.wire.chat import ChatRequest
from cloister.wire.tokens import (
    Detokenized,
    Tokenized,
    TokenizeRequest,
    parse_detokenize,
    parse_tokenize,
)
from worker.api.conversation import converse
from worker.api.served import Served, check_name
from worker.api.to_request import check_ids, encode_prompt


def tokenize(body: bytes, served: Served) -> Tokenized:
    """Raises `BadRequest`, `NotFound` or `TooLarge`."""
    wire = parse_tokenize(body)
    check_name(served, served.name if wire.model is None else wire.model)
    ids = _ids(wire, served)
    names = [served.tokenizer.name_of(id) for id in ids] if wire.return_token_strs else None
    return Tokenized(
        count=len(ids), max_model_len=served.context_length, tokens=ids, token_strs=names
    )


def detokenize(body: bytes, served: Served) -> Detokenized:
    """Control tokens are told by their spelling. Raises as `tokenize` does."""
    wire = parse_detokenize(body)
    check_name(served, served.name if wire.model is None else wire.model)
    check_ids(wire.tokens, served, "tokens")
    return Detokenized(prompt=served.tokenizer.spell(wire.tokens))


def _ids(wire: TokenizeRequest, served: Served) -> list[int]:
    if wire.prompt is not None:
        special = wire.add_special_tokens is not False
        return encode_prompt(wire.prompt, served, add_special_tokens=special)
    asked = ChatRequest.model_validate(
        {
            "model": served.name,
            "messages": wire.messages,
            "tools": wire.tools,
            "chat_template_kwargs": wire.chat_template_kwargs,
        }
    )
    begins = wire.add_generation_prompt is not False
    talk = converse(asked, served, add_generation_prompt=begins)
    if wire.add_special_tokens:
        return served.tokenizer.encode(talk.text, add_special_tokens=True)
    return list(talk.prompt)
