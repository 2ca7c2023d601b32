"""From requests of one prompt each to the choices of an answer."""

import hashlib
import struct
from collections.abc import Iterator, Sequence
from dataclasses import replace

from cloister.wire.chat import ChatRequest
from cloister.wire.completion import CompletionRequest
from worker.api.choice import Choice, Opening
from worker.api.conversation import Conversation
from worker.api.entries import Entries
from worker.api.parts import PlainReader
from worker.api.tokenizer import Tokenizer
from worker.engine.request import Request


def chat_choices(
    wire: ChatRequest, request: Request, talk: Conversation, tokenizer: Tokenizer
) -> tuple[Choice, ...]:
    """The `n` choices of a chat. Those of a set form keep their first space."""
    spaceless = tokenizer.strips_space and talk.source is None
    opening = Opening(drop_first_space=spaceless)

    def choice(one: Request, first: Choice | None = None) -> Choice:
        told = Entries(tokenizer, drop_first_space=spaceless) if wire.logprobs else None
        return Choice(one, opening, talk.reader(), told, first)

    first = choice(request)
    return (first, *(choice(one, first) for one in siblings(request, wire.n or 1)))


def completion_choices(
    wire: CompletionRequest, requests: Sequence[Request], tokenizer: Tokenizer
) -> tuple[Choice, ...]:
    """All candidates of each prompt, prompt by prompt."""
    choices: list[Choice] = []
    for prompt, request in zip(wire.prompts, requests, strict=True):
        opening = _opening(wire, prompt, tokenizer)
        choices += _candidates(wire, request, opening, tokenizer)
    return tuple(choices)


def siblings(request: Request, count: int) -> Iterator[Request]:
    """The second to the last of `count` requests of the same prompt, each with its own seed."""
    for place in range(1, count):
        sampling = replace(request.sampling, seed=seed_of(request.sampling.seed, place))
        id = f"{request.id}-{place}"
        yield replace(request, id=id, sampling=sampling, scores_prompt=False)


def seed_of(seed: int, choice: int) -> int:
    """The seed of a choice: 64 bits of a hash of the request's; choice 0 keeps the seed itself."""
    if choice == 0:
        return seed
    data = struct.pack("<qq", seed, choice)
    digest = hashlib.blake2b(data, digest_size=8, person=b"cloister-choice").digest()
    return int.from_bytes(digest, "little", signed=True)


def _candidates(
    wire: CompletionRequest, request: Request, opening: Opening, tokenizer: Tokenizer
) -> Iterator[Choice]:
    def entries() -> Entries | None:
        spaceless = bool(wire.echo) and tokenizer.strips_space
        told = Entries(tokenizer, drop_first_space=spaceless, echo=opening.echo)
        return None if wire.logprobs is None else told

    first = Choice(request, opening, PlainReader(), entries())
    yield first
    for one in siblings(request, wire.candidates):
        yield Choice(one, opening, PlainReader(), entries(), first)


def _opening(wire: CompletionRequest, prompt: str | list[int], tokenizer: Tokenizer) -> Opening:
    if not wire.echo:
        return Opening()
    if isinstance(prompt, str):
        text = prompt
    else:
        text = tokenizer.decode(prompt)
        text = text.removeprefix(" ") if tokenizer.strips_space else text
    return Opening(echo=text, alone=wire.max_tokens == 0)
