"""Parts of an OpenAPI document that FastAPI does not write, since our routes read bytes."""

from typing import Any

from pydantic import BaseModel

from cloister.wire.base import ErrorBody

MEMBERS = "#/components/schemas/{model}"

Responses = dict[int | str, dict[str, Any]]


def body_of(model: type[BaseModel]) -> dict[str, Any]:
    """The part of a route's description that says what body it takes."""
    content = {"application/json": {"schema": reference(model)}}
    return {"requestBody": {"required": True, "content": content}}


def errors(*statuses: int, body: type[BaseModel] = ErrorBody) -> Responses:
    """Answers with an error body, OpenAI's if none is named."""
    return {status: {"model": body} for status in statuses}


def reference(model: type[BaseModel]) -> dict[str, str]:
    """Where the document has a type."""
    return {"$ref": MEMBERS.format(model=model.__name__)}


def event_of(model: type[BaseModel]) -> dict[str, Any]:
    """An event of a stream, as OpenAPI 3.2 describes them: its data is the model's JSON."""
    payload = {"contentMediaType": "application/json", "contentSchema": reference(model)}
    data = {"type": "string", "anyOf": [{"const": "[DONE]"}, payload]}
    return {"type": "object", "required": ["data"], "properties": {"data": data}}
