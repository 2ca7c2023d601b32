"""The OpenAPI document: what the routes do not say themselves, since they read bodies alone."""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from cloister.fleet import TOKEN_HEADER
from cloister.openapi import MEMBERS, Responses, errors, event_of
from cloister.wire.base import ErrorBody
from cloister.wire.chat import ChatChunk, ChatRequest
from cloister.wire.completion import CompletionChunk, CompletionRequest
from cloister.wire.embedding import EmbeddingRequest
from cloister.wire.message_events import MessageEvent
from cloister.wire.messages import CountRequest, MessageRequest
from cloister.wire.response import ResponseRequest
from cloister.wire.response_events import ResponseEvent
from cloister.wire.tokens import DetokenizeRequest, TokenizeRequest
from worker.api.access import OPEN_PATHS

SECURITY = {"token": {"type": "apiKey", "in": "header", "name": TOKEN_HEADER}}
"""Of a worker that was started with a token; without one all routes are open."""

ASKED = (
    *(ChatRequest, CompletionRequest, ResponseRequest, MessageRequest, CountRequest),
    *(EmbeddingRequest, TokenizeRequest, DetokenizeRequest),
)
EVENTS = (ChatChunk, CompletionChunk, ResponseEvent, MessageEvent)

FAILURES = (400, 401, 404, 408, 413, 429, 500, 503)
"""How a route that asks the model may fail."""


def answers(
    whole: type[BaseModel], chunk: type[BaseModel], error: type[BaseModel] = ErrorBody
) -> Responses:
    """The answers of a route that generates."""
    events = {"text/event-stream": {"schema": event_of(chunk)}}
    refusals = errors(*FAILURES, body=error)
    return {200: {"model": whole, "content": events}, **refusals}


def install(app: FastAPI) -> None:
    """Let `app` publish the document with the types of bodies and of events."""

    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            made = get_openapi(title=app.title, version=app.version, routes=app.routes)
            app.openapi_schema = _completed(made)
        return app.openapi_schema

    app.openapi = document  # type: ignore[method-assign]


def _completed(document: dict[str, Any]) -> dict[str, Any]:
    _, asked = models_json_schema([(kind, "validation") for kind in ASKED], ref_template=MEMBERS)
    _, answered = models_json_schema(
        [(kind, "serialization") for kind in EVENTS], ref_template=MEMBERS
    )
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    for name, schema in {**asked["$defs"], **answered["$defs"]}.items():
        schemas.setdefault(name, schema)
    for name in ("HTTPValidationError", "ValidationError"):  # FastAPI's 422, which we never send
        schemas.pop(name, None)
    document["components"]["securitySchemes"] = SECURITY
    for path, routes in document["paths"].items():
        for route in routes.values():
            route["responses"].pop("422", None)
            route["security"] = [] if path in OPEN_PATHS else [{"token": []}]
    return document
