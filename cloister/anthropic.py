"""How Anthropic's API tells of errors: what worker and controller answer on its routes."""

import json
from typing import Any

from cloister.errors import CloisterError

ROUTE = "/v1/messages"

KINDS = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
}
"""By status. Other statuses below 500 are `invalid_request_error`, others above `api_error`."""


def owns(path: str) -> bool:
    """Is it one of Anthropic's routes?"""
    return path == ROUTE or path.startswith(f"{ROUTE}/")


def error_body(error: CloisterError, request_id: str | None = None) -> dict[str, Any]:
    """Anthropic's error object; it has no place for a code, and the message names the field."""
    other = "invalid_request_error" if error.status < 500 else "api_error"
    told = {"type": KINDS.get(error.status, other), "message": error.message}
    body = {"type": "error", "error": told}
    return body if request_id is None else {**body, "request_id": request_id}


def event(data: dict[str, Any]) -> bytes:
    """One server-sent event, named as its `type`; ASCII, as some clients split at U+2028."""
    text = json.dumps(data, separators=(",", ":"))
    return f"event: {data['type']}\ndata: {text}\n\n".encode("ascii")
