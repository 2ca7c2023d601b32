"""From an HTTP request that asks for text to the answer that will run on the engine."""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from typing import TypeVar

from fastapi import FastAPI
from pydantic import BaseModel
from starlette.requests import Request as HttpRequest
from starlette.responses import Response

from cloister import http
from cloister.errors import Busy
from cloister.wire.base import Generation, Sampled, StreamOptions
from cloister.wire.chat import ChatRequest
from cloister.wire.embedding import EmbeddingRequest
from cloister.wire.message_events import InputTokens
from cloister.wire.parse import parse_chat, parse_completion, parse_embedding
from cloister.wire.parse_messages import parse_count, parse_message
from cloister.wire.parse_response import parse_response
from cloister.wire.tokens import Detokenized, Tokenized
from worker.api import messages
from worker.api.answer import Answer, Job, Patience, StreamedAnswer, WholeAnswer
from worker.api.bridge import Bridge
from worker.api.choice import Choice
from worker.api.conversation import converse
from worker.api.embeddings import embedding_job
from worker.api.fan_out import chat_choices, completion_choices
from worker.api.frames import ChatFrames, CompletionFrames, Extras, Head
from worker.api.message_frames import MessageFrames
from worker.api.metrics import Metrics, Stopwatch
from worker.api.respond import Turn
from worker.api.response_chat import chat_of, response_name, told_as_response
from worker.api.response_frames import ResponseFrames
from worker.api.response_store import ResponseStore
from worker.api.served import Served, check_name
from worker.api.structure import check_may_end, structure_of
from worker.api.to_request import chat_to_request, completion_to_requests
from worker.api.tokens import detokenize, tokenize
from worker.engine.grammar import Source
from worker.engine.request import Engine

SMALL_BODY_BYTES = 32 * 1024  # tokenised at once; larger ones would hold other streams up
LARGE_BODIES = 32  # wait for their turn at most; each may be as long as the body limit
GRAMMARS = 64  # wait to be compiled at most

Made = TypeVar("Made")
Wire = Sampled | EmbeddingRequest


class Generator:
    """Turns HTTP requests into answers that run on the engine."""

    def __init__(
        self,
        served: Served,
        engine: Engine,
        metrics: Metrics,
        store: ResponseStore,
        patience: Patience,
    ) -> None:
        self._served = served
        self._engine = engine
        self._metrics = metrics
        self._store = store
        self._patience = patience
        self._bridge = Bridge()
        self._large = ThreadPoolExecutor(1, "tokenise")
        self._large_count = 0
        self._compiler = ThreadPoolExecutor(1, "compile")
        self._compiling = 0

    @asynccontextmanager
    async def lifespan(self, _: FastAPI) -> AsyncIterator[None]:
        yield
        self._large.shutdown(wait=False)
        self._compiler.shutdown(wait=False)

    async def answer(
        self, request: HttpRequest, make: Callable[[bytes, str], tuple[Wire, Job]]
    ) -> Answer:
        """Read the body and make the answer, which runs when it is called."""
        began = time.perf_counter()
        body = await http.read_body(request.receive)
        wire, job = await self._off_loop(body, partial(make, body, request.state.tenant))
        await self._hold(job)
        watch = Stopwatch(self._metrics, began, job.prompt_tokens, request.state.bill)
        kind = StreamedAnswer if wire.stream else WholeAnswer
        return kind(job, self._engine, self._bridge, watch, self._patience)

    async def tell(self, request: HttpRequest, work: Callable[[bytes], BaseModel]) -> Response:
        """Answer from the body alone, without the engine."""
        body = await http.read_body(request.receive)
        told = await self._off_loop(body, lambda: work(body).model_dump_json())
        return Response(told, media_type="application/json")

    def chat(self, body: bytes, tenant: str) -> tuple[Generation, Job]:
        wire = parse_chat(body)
        id = _new_id("chatcmpl")
        choices, source = self._conversation(wire, id, tenant)
        frames = ChatFrames(self._head(id, wire), _extras(wire))
        return wire, Job(choices, frames, source, candidates=len(choices))

    def response(self, body: bytes, tenant: str) -> tuple[Sampled, Job]:
        wire = parse_response(body)
        check_name(self._served, wire.model)
        turn = Turn.begin(wire, tenant, self._store, len(body))
        with told_as_response():
            choices, source = self._conversation(chat_of(wire, turn.items), turn.id, tenant)
        if source is not None:
            source = replace(source, param=response_name(source.param))
        draft = turn.draft(choices[0].request.sampling)
        is_padded = bool(wire.stream_options and wire.stream_options.include_obfuscation)
        return wire, Job(choices, ResponseFrames(draft, turn.keep, obfuscation=is_padded), source)

    def message(self, body: bytes, tenant: str) -> tuple[Generation, Job]:
        wire = messages.chat_of(parse_message(body), self._served.template)
        choices, source = self._conversation(wire, _new_id("msg"), tenant)
        request = choices[0].request
        return wire, Job(
            choices, MessageFrames(request.id, wire.model, len(request.prompt)), source
        )

    def count(self, body: bytes) -> InputTokens:
        """How long the prompt of a message is."""
        wire = messages.chat_of(parse_count(body), self._served.template)
        check_name(self._served, wire.model)
        return InputTokens(input_tokens=len(converse(wire, self._served).prompt))

    def completion(self, body: bytes, tenant: str) -> tuple[Generation, Job]:
        wire = parse_completion(body)
        check_name(self._served, wire.model)
        source = structure_of(wire)
        check_may_end(wire, source)
        requests = completion_to_requests(wire, self._served, _new_id("cmpl"), tenant)
        choices = completion_choices(wire, requests, self._served.tokenizer)
        frames = CompletionFrames(self._head(requests[0].id, wire), _extras(wire))
        best = (wire.n or 1) if wire.is_ranked else None
        return wire, Job(choices, frames, source, candidates=wire.candidates, best=best)

    def tokenize(self, body: bytes) -> Tokenized:
        return tokenize(body, self._served)

    def detokenize(self, body: bytes) -> Detokenized:
        return detokenize(body, self._served)

    def _conversation(
        self, wire: ChatRequest, id: str, tenant: str
    ) -> tuple[tuple[Choice, ...], Source | None]:
        """A conversation's choices, and what they are held to."""
        check_name(self._served, wire.model)
        talk = converse(wire, self._served)
        check_may_end(wire, talk.source)
        request = chat_to_request(wire, self._served, id, tenant, talk.prompt)
        request = replace(request, grammar=talk.budget)
        return chat_choices(wire, request, talk, self._served.tokenizer), talk.source

    def embedding(self, body: bytes, tenant: str) -> tuple[EmbeddingRequest, Job]:
        wire = parse_embedding(body)
        check_name(self._served, wire.model)
        return wire, embedding_job(wire, self._served, _new_id("embd"), tenant)

    def _head(self, id: str, wire: Generation) -> Head:
        return Head(id, int(time.time()), wire.model, self._served.fingerprint)

    async def _hold(self, job: Job) -> None:
        """Hold the choices to the grammar, compiled in a thread. Raises `BadRequest`."""
        if job.source is None:
            return
        if self._compiling >= GRAMMARS:
            raise Busy(f"{GRAMMARS} grammars wait to be compiled already", retry_after_s=1)
        self._compiling += 1
        try:
            loop, compile = asyncio.get_running_loop(), self._served.grammars.compile
            grammar = await loop.run_in_executor(self._compiler, compile, job.source)
        finally:
            self._compiling -= 1
        for choice in job.choices:
            choice.hold(grammar)

    async def _off_loop(self, body: bytes, work: Callable[[], Made]) -> Made:
        """Do it here if the body is small, else in a thread: long texts take seconds."""
        if len(body) <= SMALL_BODY_BYTES:
            return work()
        if self._large_count >= LARGE_BODIES:
            raise Busy(f"{LARGE_BODIES} long prompts are being read already", retry_after_s=1)
        self._large_count += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._large, work)
        finally:
            self._large_count -= 1


def _new_id(kind: str) -> str:
    return f"{kind}-{uuid.uuid4().hex}"


def _extras(wire: Generation) -> Extras:
    options = wire.stream_options or StreamOptions()
    return Extras(bool(options.include_usage), bool(options.include_obfuscation))
