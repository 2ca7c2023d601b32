"""The controller's HTTP server: OpenAI's routes in front of the fleet, and the fleet's own."""

from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI
from pydantic import SecretStr
from starlette.requests import Request
from starlette.responses import Response

from cloister import __version__, anthropic, http, openapi
from cloister.errors import BadRequest
from cloister.fleet import (
    BEAT_PATH,
    JOIN_PATH,
    LEAVE_PATH,
    Beat,
    FleetModel,
    Heard,
    Join,
    Joined,
    Leave,
)
from cloister.openapi import body_of
from cloister.response_id import PREVIOUS, not_found, previous_not_found, tag_of
from cloister.wire.models import Model, ModelList
from cloister.wire.parse import parse_object
from controller import admin, document, key_routes
from controller.access import Access
from controller.accounts import Accounts
from controller.bodies import told
from controller.metrics import CONTENT_TYPE, Metrics
from controller.registry import Registry
from controller.relay import ANSWER_TOKENS, RESPONSES, Ask, Relay, RelayedAnswer
from controller.settings import ControllerSettings
from controller.upstream import Headers, Upstream

RELAYED = (
    *("/v1/chat/completions", "/v1/completions", RESPONSES),
    *(anthropic.ROUTE, f"{anthropic.ROUTE}/count_tokens"),
    *("/v1/embeddings", "/tokenize", "/detokenize"),
)
MODEL_OPTIONAL = ("/tokenize", "/detokenize")
MODEL_HEADER = "x-cloister-model"
PREVIOUS_HEADER = "x-cloister-previous-response"
PASSED_ON = (b"content-type", b"accept", MODEL_HEADER.encode())
FLEET_ERRORS = (400, 401, 413, 500)
TOKEN_LIMITS = ("max_completion_tokens", "max_output_tokens", "max_tokens")
OWNER = "cloister"


def create_app(
    settings: ControllerSettings,
    *,
    join_token: SecretStr,
    accounts: Accounts,
    registry: Registry | None = None,
    max_body_bytes: int = http.MAX_BODY_BYTES,
) -> FastAPI:
    """The controller's app. Its own lifespan opens and closes the connections to workers."""
    registry = registry or Registry(settings.beat_interval_s)
    metrics = Metrics(registry)
    upstream = Upstream(settings.connect_timeout_s)
    timeouts = (settings.first_byte_timeout_s, settings.silence_timeout_s)
    relay = Relay(registry, upstream, metrics, accounts, join_token, *timeouts)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        upstream.close()
        accounts.close()

    app = FastAPI(
        title="Cloister controller",
        version=__version__,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
    )
    app.state.upstream = upstream
    app.add_middleware(Access, accounts=accounts, join_token=join_token)
    http.install(app, max_body_bytes=max_body_bytes)
    app.add_middleware(http.CountAnswers, count=metrics.count)
    _add_relayed(app, relay, registry)
    _add_responses(app, relay)
    _add_models(app, registry)
    _add_fleet(app, registry, accounts)
    _add_operation(app, registry, metrics)
    admin.install(app, accounts)
    key_routes.install(app, accounts)
    document.install(app, RELAYED)
    return app


def _add_relayed(app: FastAPI, relay: Relay, registry: Registry) -> None:
    async def pass_on(request: Request) -> Response:
        """Relay to a worker. Of the body only model, previous response and sizes are read."""
        body = await http.read_body(request.receive)
        members = {} if request.headers.get(MODEL_HEADER) else parse_object(body)
        ask = Ask(
            path=request.scope["path"],
            model=_model_name(request, members, registry),
            tenant=request.state.tenant,
            headers=_passed_on(request),
            body=body,
            tag=_previous_tag(request, members),
            answer_tokens=_answer_tokens(members),
        )
        return RelayedAnswer(relay, ask)

    for path in RELAYED:
        app.add_route(path, pass_on, methods=["POST"])


def _add_responses(app: FastAPI, relay: Relay) -> None:
    async def kept(request: Request) -> Response:
        """Relay what concerns a kept response to the worker that its id names."""
        body = await http.read_body(request.receive)
        tag = tag_of(request.path_params["response_id"])
        if tag is None:
            raise not_found()
        query = request.scope["query_string"].decode("ascii", "replace")
        ask = Ask(
            path=request.scope["path"] + (f"?{query}" if query else ""),
            model=None,
            tenant=request.state.tenant,
            headers=_passed_on(request),
            body=body,
            method=request.method,
            tag=tag,
            answer_tokens=0,
        )
        return RelayedAnswer(relay, ask)

    for method, path in document.KEPT:
        app.add_route(path, kept, methods=[method])


def _add_models(app: FastAPI, registry: Registry) -> None:
    @app.get("/v1/models", responses=openapi.errors(401, 403))
    async def models() -> ModelList:
        """All models that the fleet serves."""
        return ModelList(data=[_model(model) for model in registry.models()])

    @app.get("/v1/models/{name:path}", responses=openapi.errors(401, 403, 404))
    async def model(name: str) -> Model:
        """One model."""
        for model in registry.models():
            if model.id == name:
                return _model(model)
        raise registry.model_not_found()


def _add_fleet(app: FastAPI, registry: Registry, accounts: Accounts) -> None:
    @app.post(JOIN_PATH, responses=openapi.errors(*FLEET_ERRORS), openapi_extra=body_of(Join))
    async def join(request: Request) -> Joined:
        """A worker comes."""
        return registry.join(await told(request, Join))

    @app.post(BEAT_PATH, responses=openapi.errors(404, *FLEET_ERRORS), openapi_extra=body_of(Beat))
    async def beat(request: Request) -> Heard:
        """A worker is alive, and tells what requests have cost."""
        alive = await told(request, Beat)
        registry.beat(alive)
        return await accounts.count(alive.usage)

    @app.post(LEAVE_PATH, responses=openapi.errors(*FLEET_ERRORS), openapi_extra=body_of(Leave))
    async def leave(request: Request) -> Heard:
        """A worker goes."""
        leaving = await told(request, Leave)
        registry.leave(leaving)
        return await accounts.count(leaving.usage)


def _add_operation(app: FastAPI, registry: Registry, metrics: Metrics) -> None:
    @app.get("/health")
    async def health() -> dict[str, str]:
        """Alive."""
        return {"status": "ok"}

    @app.get("/ready", responses=openapi.errors(503))
    async def ready() -> dict[str, str]:
        """At least one worker takes requests."""
        if not registry.ready:
            raise registry.no_worker()
        return {"status": "ready"}

    @app.get("/metrics", response_class=Response, responses=openapi.errors(401, 403))
    async def metrics_text() -> Response:
        """Numbers for Prometheus."""
        return Response(metrics.text(), media_type=CONTENT_TYPE)


def _model_name(request: Request, members: Mapping[str, Any], registry: Registry) -> str:
    """From the header if there is one: then the body may be sealed.

    Some routes need no name where the fleet has but one.
    """
    name = request.headers.get(MODEL_HEADER) or members.get("model")
    if name is None and request.scope["path"] in MODEL_OPTIONAL:
        name = _only_model(registry)
    if name is None:
        raise BadRequest("model is missing; it names one of GET /v1/models", param="model")
    if not isinstance(name, str) or not name:
        raise BadRequest("model must be a string that is not empty", param="model")
    return name


def _previous_tag(request: Request, members: Mapping[str, Any]) -> str | None:
    """The worker that keeps the previous response, if one is named; a sealed body's in a header."""
    if request.scope["path"] != RESPONSES:
        return None
    previous = request.headers.get(PREVIOUS_HEADER) or members.get(PREVIOUS)
    if not isinstance(previous, str):
        return None  # the worker refuses what is neither a text nor null
    tag = tag_of(previous)
    if tag is None:
        raise previous_not_found()
    return tag


def _only_model(registry: Registry) -> str | None:
    models = registry.models()
    return models[0].id if len(models) == 1 else None


def _answer_tokens(members: Mapping[str, Any]) -> int:
    """How many tokens all choices may have at most; the worker checks the members themselves."""
    limits = _counts(members, TOKEN_LIMITS) or [ANSWER_TOKENS]
    return limits[0] * max(_counts(members, ("n", "best_of")), default=1)


def _counts(members: Mapping[str, Any], names: Iterable[str]) -> list[int]:
    values = [members.get(name) for name in names]
    return [value for value in values if type(value) is int and value > 0]


def _passed_on(request: Request) -> Headers:
    """An allow-list, so that no key or cookie reaches a worker."""
    known = [pair for pair in request.headers.raw if pair[0] in PASSED_ON]
    stamp = http.request_id(request.scope).encode()
    return (*known, (b"x-request-id", stamp), (b"accept-encoding", b"identity"))


def _model(model: FleetModel) -> Model:
    return Model(
        id=model.id,
        created=model.created,
        owned_by=OWNER,
        context_length=model.context_length,
        execution=model.execution,
    )
