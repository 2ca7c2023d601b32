"""The OpenAPI document: FastAPI's, and what its routes do not say, since they read bytes."""

from collections.abc import Iterable, Iterator
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from cloister import anthropic
from cloister.fleet import TOKEN_HEADER, Beat, Join, Leave
from cloister.openapi import MEMBERS, body_of, event_of, reference
from cloister.wire.base import ErrorBody
from cloister.wire.chat import ChatAnswer, ChatChunk, ChatRequest
from cloister.wire.completion import CompletionAnswer, CompletionChunk, CompletionRequest
from cloister.wire.embedding import EmbeddingAnswer, EmbeddingRequest
from cloister.wire.message_events import InputTokens, MessageAnswer, MessageErrorBody, MessageEvent
from cloister.wire.messages import CountRequest, MessageRequest
from cloister.wire.response import Deleted, ResponseBody, ResponseRequest
from cloister.wire.response_events import ResponseEvent
from cloister.wire.response_items import ItemList
from cloister.wire.tokens import Detokenized, DetokenizeRequest, Tokenized, TokenizeRequest
from controller.access import ADMIN_PATHS, FLEET_PATHS, OPEN_PATHS
from controller.key_routes import KeyLimits, NewKey
from controller.relay import RESPONSES

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

ONE = f"{RESPONSES}/{{response_id}}"
KEPT: dict[tuple[str, str], type[BaseModel] | None] = {
    ("GET", ONE): ResponseBody,
    ("DELETE", ONE): Deleted,
    ("GET", f"{ONE}/input_items"): ItemList,
    ("POST", f"{ONE}/cancel"): None,
}
"""What concerns a kept response, by method and path: the answer, if there ever is one."""

PAGING = {
    "limit": {"type": "integer", "minimum": 1, "maximum": 100},
    "order": {"enum": ["asc", "desc"]},
    "after": {"type": "string"},
}

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
            for (method, path), answered in KEPT.items():
                made["paths"].setdefault(path, {})[method.lower()] = _kept(method, path, answered)
            app.openapi_schema = _completed(made)
        return app.openapi_schema

    app.openapi = document  # type: ignore[method-assign]


def _relayed(path: str) -> dict[str, Any]:
    asked, answered, event = TYPES[path]
    error = MessageErrorBody if anthropic.owns(path) else ErrorBody
    return {
        "summary": "Relayed to the worker that answers soonest",
        "operationId": path.strip("/").replace("/", "_"),
        "responses": _answered(answered, event) | _failed(error),
        **body_of(asked),
    }


def _kept(method: str, path: str, answered: type[BaseModel] | None) -> dict[str, Any]:
    id = {"name": "response_id", "in": "path", "required": True, "schema": {"type": "string"}}
    paging = PAGING if answered is ItemList else {}
    queries = [{"name": name, "in": "query", "schema": one} for name, one in paging.items()]
    return {
        "summary": "Relayed to the worker that keeps the response",
        "operationId": f"{method.lower()}_{path.rpartition('/')[2].strip('{}')}",
        "parameters": [id, *queries],
        "responses": ({} if answered is None else _answered(answered)) | _failed(ErrorBody),
    }


def _answered(answered: type[BaseModel], event: type[BaseModel] | None = None) -> dict[str, Any]:
    content = {"application/json": {"schema": reference(answered)}}
    if event is not None:
        content["text/event-stream"] = {"schema": event_of(event)}
    return {"200": {"description": "The worker's answer", "content": content}}


def _failed(error: type[BaseModel]) -> dict[str, Any]:
    content = {"application/json": {"schema": reference(error)}}
    return {
        str(status): {"description": "An error", "content": content} for status in RELAYED_ERRORS
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
    asked += [Join, Beat, Leave, NewKey, KeyLimits]
    answered = [one for types in TYPES.values() for one in types[1:] if one is not None]
    answered += [one for one in KEPT.values() if one is not None]
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
