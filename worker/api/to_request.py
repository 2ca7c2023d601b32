"""Wire to engine: limits and sampling of a request whose prompt is known."""

import re
import secrets
from collections.abc import Callable, Collection
from dataclasses import replace

from cloister.errors import BadRequest, ContextExceeded
from cloister.wire.base import Generation
from cloister.wire.chat import ChatRequest
from cloister.wire.completion import CompletionRequest
from worker.api.served import Served
from worker.engine.request import Request, Sampling

COMPLETION_TOKENS = 16  # OpenAI's default for completions; a chat may fill the context
TOKEN_ID = re.compile(r"0|[1-9][0-9]{0,17}", re.ASCII)
SALT_BORDER = "\n"  # between a tenant, which never holds it, and the tenant's own salt


def random_seed() -> int:
    """For a request that names none."""
    return secrets.randbits(63)


def chat_to_request(
    wire: ChatRequest,
    served: Served,
    id: str,
    tenant: str,
    prompt: tuple[int, ...],
    seed: Callable[[], int] = random_seed,
) -> Request:
    """Raises `BadRequest` or `ContextExceeded`."""
    asked = _asked_tokens(wire)
    room = _room(len(prompt), served, param="messages")
    limit = room if asked is None else _fitting(asked, room, len(prompt), served)
    logprobs = (wire.top_logprobs or 0) if wire.logprobs else None
    return _request(wire, served, id, tenant, prompt, limit, logprobs, seed)


def completion_to_requests(
    wire: CompletionRequest,
    served: Served,
    id: str,
    tenant: str,
    seed: Callable[[], int] = random_seed,
) -> list[Request]:
    """One for each prompt. A limit of no tokens becomes one token, which nobody is told.

    Raises `BadRequest` or `ContextExceeded`.
    """
    ids = (id if place == 0 else f"{id}.{place}" for place in range(len(wire.prompts)))
    pairs = zip(ids, wire.prompts, strict=True)
    return [_completion_request(wire, prompt, served, id, tenant, seed) for id, prompt in pairs]


def _completion_request(
    wire: CompletionRequest,
    text: str | list[int],
    served: Served,
    id: str,
    tenant: str,
    seed: Callable[[], int],
) -> Request:
    prompt = _completion_prompt(text, served)
    room = _room(len(prompt), served, param="prompt")
    if wire.max_tokens is None:
        limit = min(COMPLETION_TOKENS, room)
    else:
        limit = max(1, _fitting(("max_tokens", wire.max_tokens), room, len(prompt), served))
    logprobs = 0 if wire.logprobs is None and wire.is_ranked else wire.logprobs
    request = _request(wire, served, id, tenant, tuple(prompt), limit, logprobs, seed)
    scores_prompt = bool(wire.echo) and wire.logprobs is not None
    return replace(request, scores_prompt=scores_prompt)


def _request(
    wire: Generation,
    served: Served,
    id: str,
    tenant: str,
    prompt: tuple[int, ...],
    max_tokens: int,
    logprobs: int | None,
    seed: Callable[[], int],
) -> Request:
    stop_ids = frozenset(wire.stop_token_ids or ())
    check_ids(stop_ids, served, "stop_token_ids")
    return Request(
        id=id,
        prompt=prompt,
        max_tokens=max_tokens,
        sampling=_sampling(wire, served, seed),
        stop=_stop(wire.stop),
        keeps_stop=bool(wire.include_stop_str_in_output),
        stop_ids=stop_ids if wire.ignore_eos else served.tokenizer.end_ids | stop_ids,
        min_tokens=_min_tokens(wire, max_tokens),
        logprobs=logprobs,
        salt=tenant if wire.cache_salt is None else tenant + SALT_BORDER + wire.cache_salt,
    )


def _completion_prompt(prompt: str | list[int], served: Served) -> list[int]:
    if isinstance(prompt, list):
        check_ids(prompt, served, "prompt")
        return prompt
    ids = encode_prompt(prompt, served)
    if not ids:
        raise BadRequest("prompt: must not be empty", param="prompt")
    return ids


def encode_prompt(text: str, served: Served, *, add_special_tokens: bool = True) -> list[int]:
    """A completion's prompt; a client may have written the token that begins a text."""
    ids = served.tokenizer.encode(text, add_special_tokens=add_special_tokens)
    bos = served.tokenizer.bos_id
    return ids[1:] if bos is not None and ids[:2] == [bos, bos] else ids


def check_ids(ids: Collection[int], served: Served, param: str) -> None:
    """Raises `BadRequest` if the model has not all of them."""
    largest = max(ids, default=0)
    if largest >= served.vocabulary_size:
        limit = served.vocabulary_size - 1
        raise BadRequest(f"{param}: token id {largest} is over {limit}, the largest", param=param)


def _asked_tokens(wire: ChatRequest) -> tuple[str, int] | None:
    """The limit on generated tokens, with the name under which it was given."""
    old, new = wire.max_tokens, wire.max_completion_tokens
    if old is not None and new is not None and old != new:
        raise BadRequest(
            f"max_tokens = {old} and max_completion_tokens = {new} differ; give one",
            param="max_tokens",
        )
    if new is not None:
        return "max_completion_tokens", new
    return None if old is None else ("max_tokens", old)


def _room(prompt_tokens: int, served: Served, param: str) -> int:
    """Tokens that the context leaves for the answer."""
    room = served.context_length - prompt_tokens
    if room < 1:
        raise ContextExceeded(
            f"{param}: {prompt_tokens} tokens; the model's context of {served.context_length}"
            " tokens must hold them and at least one more",
            param=param,
        )
    return room


def _fitting(asked: tuple[str, int], room: int, prompt_tokens: int, served: Served) -> int:
    name, count = asked
    if count > room:
        raise ContextExceeded(
            f"{name} = {count}: the model's context is {served.context_length} tokens and the"
            f" prompt has {prompt_tokens}, so at most {room} can be generated",
            param=name,
        )
    return count


def _stop(stop: str | list[str] | None) -> tuple[str, ...]:
    if stop is None:
        return ()
    return (stop,) if isinstance(stop, str) else tuple(stop)


def _min_tokens(wire: Generation, max_tokens: int) -> int:
    count = wire.min_tokens or 0
    if count > max_tokens:
        raise BadRequest(
            f"min_tokens = {count}: at most {max_tokens} tokens can be generated",
            param="min_tokens",
        )
    return count


def _bias(wire: Generation, served: Served) -> tuple[tuple[int, float], ...]:
    bias = wire.logit_bias or {}
    for name in bias:
        if not TOKEN_ID.fullmatch(name):
            raise BadRequest(
                "logit_bias: names must be token ids, written as plain numbers", param="logit_bias"
            )
    ids = tuple(map(int, bias))
    check_ids(ids, served, "logit_bias")
    return tuple(zip(ids, bias.values(), strict=True))


def _sampling(wire: Generation, served: Served, seed: Callable[[], int]) -> Sampling:
    """The request's values, else the model's, else neutral ones."""
    defaults = served.defaults
    top_k = defaults.top_k if wire.top_k is None else wire.top_k
    return Sampling(
        temperature=_either(wire.temperature, defaults.temperature),
        top_p=_either(wire.top_p, defaults.top_p),
        top_k=max(0, top_k),  # -1 is another word for off
        min_p=_either(wire.min_p, defaults.min_p),
        repetition_penalty=_either(wire.repetition_penalty, defaults.repetition_penalty),
        presence_penalty=_either(wire.presence_penalty, 0.0),
        frequency_penalty=_either(wire.frequency_penalty, 0.0),
        bias=_bias(wire, served),
        seed=seed() if wire.seed is None else wire.seed,
    )


def _either(asked: float | None, default: float) -> float:
    return default if asked is None else asked
