"""The OpenAPI document: what the routes do not say themselves, since they read bodies alone."""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from cloister.wire.base import ErrorBody
from cloister.wire.chat import ChatChunk, ChatRequest
from cloister.wire.completion import CompletionChunk, CompletionRequest
from cloister.wire.message_events import MessageEvent
from cloister.wire.messages import CountRequest, MessageRequest
from cloister.wire.response import ResponseRequest
from cloister.wire.response_events import ResponseEvent
from cloister.wire.tokens import DetokenizeRequest, TokenizeRequest

MEMBERS = "#/components/schemas/{model}"

ASKED = (
    *(ChatRequest, CompletionRequest, ResponseRequest, MessageRequest, CountRequest),
    *(TokenizeRequest, DetokenizeRequest),
)
EVENTS = (ChatChunk, CompletionChunk, ResponseEvent, MessageEvent)

Responses = dict[int | str, dict[str, Any]]


def body_of(model: type[BaseModel]) -> dict[str, Any]:
    """The part of a route's description that says what body it takes."""
    content = {"application/json": {"schema": _reference(model)}}
    return {"requestBody": {"required": True, "content": content}}


def answers(
    whole: type[BaseModel], chunk: type[BaseModel], error: type[BaseModel] = ErrorBody
) -> Responses:
    """The answers of a route that generates."""
    events = {"text/event-stream": {"schema": _reference(chunk)}}
    refusals = errors(400, 401, 404, 413, 429, 500, 503, body=error)
    return {200: {"model": whole, "content": events}, **refusals}


def errors(*statuses: int, body: type[BaseModel] = ErrorBody) -> Responses:
    """Answers with an error body, OpenAI's if none is named."""
    return {status: {"model": body} for status in statuses}


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
    for path in document["paths"].values():
        for route in path.values():
            route["responses"].pop("422", None)
    return document


def _reference(model: type[BaseModel]) -> dict[str, str]:
    return {"$ref": MEMBERS.format(model=model.__name__)}
