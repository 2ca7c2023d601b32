"""Wire to engine: limits and sampling of a request whose prompt is known."""

import secrets
from collections.abc import Callable

from cloister.errors import BadRequest, ContextExceeded
from cloister.wire.base import Generation
from cloister.wire.chat import ChatRequest
from cloister.wire.completion import CompletionRequest
from worker.api.served import Served
from worker.engine.request import Request, Sampling

COMPLETION_TOKENS = 16  # OpenAI's default for completions; a chat may fill the context


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
    return _request(wire, served, id, tenant, prompt, limit, seed)


def completion_to_request(
    wire: CompletionRequest,
    served: Served,
    id: str,
    tenant: str,
    seed: Callable[[], int] = random_seed,
) -> Request:
    """Raises `BadRequest` or `ContextExceeded`."""
    prompt = _completion_prompt(wire, served)
    room = _room(len(prompt), served, param="prompt")
    if wire.max_tokens is None:
        limit = min(COMPLETION_TOKENS, room)
    else:
        limit = _fitting(("max_tokens", wire.max_tokens), room, len(prompt), served)
    return _request(wire, served, id, tenant, tuple(prompt), limit, seed)


def _request(
    wire: Generation,
    served: Served,
    id: str,
    tenant: str,
    prompt: tuple[int, ...],
    max_tokens: int,
    seed: Callable[[], int],
) -> Request:
    stop_ids = tuple(wire.stop_token_ids or ())
    _check_ids(stop_ids, served, "stop_token_ids")
    return Request(
        id=id,
        prompt=prompt,
        max_tokens=max_tokens,
        sampling=_sampling(wire, served.defaults, seed),
        stop=_stop(wire.stop),
        stop_ids=served.tokenizer.end_ids.union(stop_ids),
        salt=tenant,
    )


def _completion_prompt(wire: CompletionRequest, served: Served) -> list[int]:
    if isinstance(wire.prompt, list):
        _check_ids(wire.prompt, served, "prompt")
        return wire.prompt
    ids = served.tokenizer.encode(wire.prompt, add_special_tokens=True)
    if not ids:
        raise BadRequest("prompt: must not be empty", param="prompt")
    bos = served.tokenizer.bos_id
    return ids[1:] if bos is not None and ids[:2] == [bos, bos] else ids


def _check_ids(ids: tuple[int, ...] | list[int], served: Served, param: str) -> None:
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


def _sampling(wire: Generation, defaults: Sampling, seed: Callable[[], int]) -> Sampling:
    """The request's values, else the model's, else neutral ones."""
    top_k = defaults.top_k if wire.top_k is None else wire.top_k
    return Sampling(
        temperature=_either(wire.temperature, defaults.temperature),
        top_p=_either(wire.top_p, defaults.top_p),
        top_k=max(0, top_k),  # -1 is another word for off
        min_p=_either(wire.min_p, defaults.min_p),
        repetition_penalty=_either(wire.repetition_penalty, defaults.repetition_penalty),
        presence_penalty=_either(wire.presence_penalty, 0.0),
        frequency_penalty=_either(wire.frequency_penalty, 0.0),
        seed=seed() if wire.seed is None else wire.seed,
    )


def _either(asked: float | None, default: float) -> float:
    return default if asked is None else asked
