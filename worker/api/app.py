"""The worker's HTTP server: OpenAI's routes in front of one engine."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from fastapi import FastAPI
from prometheus_client.registry import Collector
from pydantic import SecretStr
from starlette.requests import Request as HttpRequest
from starlette.responses import JSONResponse, Response

from cloister import __version__, anthropic, http, openapi
from cloister.errors import Unavailable
from cloister.usage import UsageLog
from cloister.wire.chat import ChatAnswer, ChatChunk, ChatRequest
from cloister.wire.completion import CompletionAnswer, CompletionChunk, CompletionRequest
from cloister.wire.embedding import EmbeddingAnswer, EmbeddingRequest
from cloister.wire.message_events import InputTokens, MessageAnswer, MessageErrorBody, MessageEvent
from cloister.wire.messages import CountRequest, MessageRequest
from cloister.wire.models import Model, ModelList
from cloister.wire.response import ResponseBody, ResponseRequest
from cloister.wire.response_events import ResponseEvent
from cloister.wire.tokens import Detokenized, DetokenizeRequest, Tokenized, TokenizeRequest
from worker.api import document, response_routes
from worker.api.access import Access
from worker.api.answer import Patience
from worker.api.bill import Billing
from worker.api.generate import Generator
from worker.api.messages import renamed
from worker.api.metrics import CONTENT_TYPE, Metrics
from worker.api.response_store import ResponseStore
from worker.api.served import Served, check_name
from worker.engine.request import Engine

EXECUTION_HEADER = "x-cloister-execution"
"""On each answer: `local`, or `split-` and what the GPU sees."""


@dataclass
class Readiness:
    """Whether this worker takes requests. `draining` finishes what runs and takes nothing new."""

    state: Literal["starting", "ready", "draining"] = "ready"

    def check(self) -> None:
        """Raises `Unavailable` unless ready."""
        if self.state != "ready":
            raise Unavailable(f"this worker is {self.state}")


def create_app(
    served: Served,
    engine: Engine,
    *,
    token: SecretStr | None = None,
    usage: UsageLog | None = None,
    readiness: Readiness | None = None,
    store: ResponseStore | None = None,
    max_body_bytes: int = http.MAX_BODY_BYTES,
    patience: Patience | None = None,
    collectors: Sequence[Collector] = (),
) -> FastAPI:
    """A worker's app. With `token`, all but /health and /ready ask for it.

    `usage` gets what the controller's requests cost; `collectors` add to /metrics what the engine
    does not know.
    """
    readiness = readiness or Readiness()
    metrics = Metrics(engine, served.name, collectors)
    store = store or ResponseStore()
    generator = Generator(served, engine, metrics, store, patience or Patience())
    app = FastAPI(
        title="Cloister worker",
        version=__version__,
        lifespan=generator.lifespan,
        docs_url=None,
        redoc_url=None,
    )
    app.add_middleware(Billing, log=usage or UsageLog(), believes=token is not None)
    app.add_middleware(Access, token=token)
    app.add_middleware(http.Headers, headers={EXECUTION_HEADER: served.execution})
    http.install(app, max_body_bytes=max_body_bytes)
    app.add_middleware(http.CountAnswers, count=metrics.count)
    _add_generation(app, generator, readiness)
    response_routes.add(app, store)
    _add_messages(app, generator, readiness)
    _add_tokens(app, generator)
    _add_embeddings(app, generator, readiness)
    _add_models(app, served)
    _add_operation(app, engine, readiness, metrics)
    document.install(app)
    return app


def _add_generation(app: FastAPI, generator: Generator, readiness: Readiness) -> None:
    @app.post(
        "/v1/chat/completions",
        response_model=None,
        responses=document.answers(ChatAnswer, ChatChunk),
        openapi_extra=openapi.body_of(ChatRequest),
    )
    async def chat_completions(request: HttpRequest) -> Response:
        """Answer a conversation, whole or as a stream of events."""
        readiness.check()
        return await generator.answer(request, generator.chat)

    @app.post(
        "/v1/completions",
        response_model=None,
        responses=document.answers(CompletionAnswer, CompletionChunk),
        openapi_extra=openapi.body_of(CompletionRequest),
    )
    async def completions(request: HttpRequest) -> Response:
        """Continue a text, whole or as a stream of events."""
        readiness.check()
        return await generator.answer(request, generator.completion)

    @app.post(
        "/v1/responses",
        response_model=None,
        responses=document.answers(ResponseBody, ResponseEvent),
        openapi_extra=openapi.body_of(ResponseRequest),
    )
    async def responses(request: HttpRequest) -> Response:
        """Answer a conversation by items, whole or as a stream of typed events."""
        readiness.check()
        return await generator.answer(request, generator.response)


def _add_messages(app: FastAPI, generator: Generator, readiness: Readiness) -> None:
    @app.post(
        anthropic.ROUTE,
        response_model=None,
        responses=document.answers(MessageAnswer, MessageEvent, MessageErrorBody),
        openapi_extra=openapi.body_of(MessageRequest),
    )
    async def messages(request: HttpRequest) -> Response:
        """Answer a conversation in Anthropic's form, whole or as a stream of events."""
        readiness.check()
        with renamed():
            return await generator.answer(request, generator.message)

    @app.post(
        f"{anthropic.ROUTE}/count_tokens",
        response_model=InputTokens,
        responses=openapi.errors(400, 401, 404, 413, 429, 500, body=MessageErrorBody),
        openapi_extra=openapi.body_of(CountRequest),
    )
    async def count_tokens(request: HttpRequest) -> Response:
        """The length of a conversation's prompt."""
        with renamed():
            return await generator.tell(request, generator.count)


def _add_tokens(app: FastAPI, generator: Generator) -> None:
    statuses = openapi.errors(400, 401, 404, 413, 429, 500)

    @app.post(
        "/tokenize",
        response_model=Tokenized,
        responses=statuses,
        openapi_extra=openapi.body_of(TokenizeRequest),
    )
    async def tokenize(request: HttpRequest) -> Response:
        """A prompt, or that of a conversation, as token ids."""
        return await generator.tell(request, generator.tokenize)

    @app.post(
        "/detokenize",
        response_model=Detokenized,
        responses=statuses,
        openapi_extra=openapi.body_of(DetokenizeRequest),
    )
    async def detokenize(request: HttpRequest) -> Response:
        """The text of token ids."""
        return await generator.tell(request, generator.detokenize)


def _add_embeddings(app: FastAPI, generator: Generator, readiness: Readiness) -> None:
    @app.post(
        "/v1/embeddings",
        response_model=None,
        responses={200: {"model": EmbeddingAnswer}, **openapi.errors(*document.FAILURES)},
        openapi_extra=openapi.body_of(EmbeddingRequest),
    )
    async def embeddings(request: HttpRequest) -> Response:
        """A vector of each text."""
        readiness.check()
        return await generator.answer(request, generator.embedding)


def _add_models(app: FastAPI, served: Served) -> None:
    @app.get("/v1/models", responses=openapi.errors(401))
    async def models() -> ModelList:
        """The model under its name and its aliases."""
        return ModelList(data=[served.model(name) for name in (served.name, *served.aliases)])

    @app.get("/v1/models/{name:path}", responses=openapi.errors(401, 404))
    async def model(name: str) -> Model:
        """One model."""
        check_name(served, name)
        return served.model(name)


def _add_operation(app: FastAPI, engine: Engine, readiness: Readiness, metrics: Metrics) -> None:
    @app.get("/health")
    async def health() -> dict[str, str]:
        """Alive."""
        return {"status": "ok"}

    @app.get("/ready", responses=openapi.errors(503))
    async def ready() -> dict[str, str]:
        """Takes requests."""
        readiness.check()
        return {"status": "ready"}

    @app.post("/worker/drain", responses=openapi.errors(401))
    async def drain() -> JSONResponse:
        """Take no new requests and finish those that wait or run."""
        readiness.state = "draining"
        load = engine.load()
        left = load.queued_requests + load.running_requests
        return JSONResponse({"status": "draining", "requests": left})

    @app.get("/metrics", response_class=Response, responses=openapi.errors(401))
    async def metrics_text() -> Response:
        """Numbers for Prometheus."""
        return Response(metrics.text(), media_type=CONTENT_TYPE)
