"""The OpenAPI document: FastAPI's, and what its routes do not say, since they read bytes."""

from collections.abc import Iterable, Iterator
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from cloister import anthropic
from cloister.fleet import TOKEN_HEADER, Beat, Join, Leave
from cloister.openapi import MEMBERS, body_of, reference
from cloister.wire.base import ErrorBody
from cloister.wire.chat import ChatAnswer, ChatChunk, ChatRequest
from cloister.wire.completion import CompletionAnswer, CompletionChunk, CompletionRequest
from cloister.wire.embedding import EmbeddingAnswer, EmbeddingRequest
from cloister.wire.message_events import InputTokens, MessageAnswer, MessageErrorBody, MessageEvent
from cloister.wire.messages import CountRequest, MessageRequest
from cloister.wire.response import ResponseBody, ResponseRequest
from cloister.wire.response_events import ResponseEvent
from cloister.wire.tokens import Detokenized, DetokenizeRequest, Tokenized, TokenizeRequest
from controller.access import ADMIN_PATHS, FLEET_PATHS, OPEN_PATHS

RELAYED_ERRORS = (400, 401, 403, 404, 408, 413, 429, 500, 503)

TYPES: dict[str, tuple[type[BaseModel], type[BaseModel], type[BaseModel] | None]] = {
    "/v1/chat/completions": (ChatRequest, ChatAnswer, ChatChunk),
    "/v1/completions": (CompletionRequest, CompletionAnswer, CompletionChunk),
    "/v1/embeddings": (EmbeddingRequest, EmbeddingAnswer, None),
    "/v1/responses": (ResponseRequest, ResponseBody, ResponseEvent),
    anthropic.ROUTE: (MessageRequest, MessageAnswer, MessageEvent),
    f"{anthropic.ROUTE}/count_tokens": (CountRequest, InputTokens, None),
    "/tokenize": (TokenizeRequest, Tokenized, None),
    "/detokenize": (DetokenizeRequest, Detokenized, None),
}
"""By relayed route: the body, the whole answer, an event if it can be streamed."""

SECURITY = {
    "key": {"type": "http", "scheme": "bearer", "description": "an API key"},
    "admin": {"type": "http", "scheme": "bearer", "description": "an admin key"},
    "worker": {"type": "apiKey", "in": "header", "name": TOKEN_HEADER},
}


def install(app: FastAPI, relayed: Iterable[str]) -> None:
    """Let `app` publish the document, with the `relayed` paths, at /openapi.json."""

    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            made = get_openapi(title=app.title, version=app.version, routes=app.routes)
            made["paths"] |= {path: {"post": _relayed(path)} for path in relayed}
            app.openapi_schema = _completed(made)
        return app.openapi_schema

    app.openapi = document  # type: ignore[method-assign]


def _relayed(path: str) -> dict[str, Any]:
    asked, answered, event = TYPES[path]
    content = {"application/json": {"schema": reference(answered)}}
    if event is not None:
        content["text/event-stream"] = {"schema": reference(event)}
    error = MessageErrorBody if anthropic.owns(path) else ErrorBody
    fault = {"application/json": {"schema": reference(error)}}
    responses = {
        str(status): {"description": "An error", "content": fault} for status in RELAYED_ERRORS
    }
    return {
        "summary": "Relayed to the worker that answers soonest",
        "operationId": path.strip("/").replace("/", "_"),
        "responses": {"200": {"description": "The worker's answer", "content": content}}
        | responses,
        **body_of(asked),
    }


def _completed(document: dict[str, Any]) -> dict[str, Any]:
    components = document.setdefault("components", {})
    schemas = components.setdefault("schemas", {})
    for name, schema in _schemas().items():
        schemas.setdefault(name, schema)
    for name in ("HTTPValidationError", "ValidationError"):  # FastAPI's 422, which we never send
        schemas.pop(name, None)
    components["securitySchemes"] = SECURITY
    for path, routes in document["paths"].items():
        for route in routes.values():
            route["responses"].pop("422", None)
            route["security"] = list(_security(path))
    return document


def _schemas() -> dict[str, Any]:
    asked: list[type[BaseModel]] = [types[0] for types in TYPES.values()]
    asked += [Join, Beat, Leave]
    answered = [one for types in TYPES.values() for one in types[1:] if one is not None]
    answered += [ErrorBody, MessageErrorBody]
    _, told = models_json_schema([(one, "serialization") for one in answered], ref_template=MEMBERS)
    _, read = models_json_schema([(one, "validation") for one in asked], ref_template=MEMBERS)
    found: dict[str, Any] = {**told["$defs"], **read["$defs"]}
    return found


def _security(path: str) -> Iterator[dict[str, list[str]]]:
    if path in OPEN_PATHS:
        return
    by_start = {FLEET_PATHS: "worker", ADMIN_PATHS: "admin"}
    yield {next((name for start, name in by_start.items() if path.startswith(start)), "key"): []}
