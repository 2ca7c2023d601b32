"""Reads the error answers of an OpenAI server back into the classes of `cloister.errors`."""

from typing import Any

import httpx

from cloister.errors import (
    BadRequest,
    Busy,
    CloisterError,
    ContextExceeded,
    DeadlineExceeded,
    InternalError,
    NotFound,
    TooLarge,
    Unauthorized,
    Unavailable,
)

_BY_STATUS: dict[int, type[CloisterError]] = {
    401: Unauthorized,
    403: Unauthorized,
    404: NotFound,
    408: DeadlineExceeded,
    413: TooLarge,
    502: Unavailable,
    503: Unavailable,
    504: Unavailable,
}


def error_of(response: httpx.Response) -> CloisterError:
    """The typed error of an answer whose body has been read."""
    try:
        body = response.json()
    except ValueError:
        body = None
    return error_in(body, response.status_code, response.headers.get("retry-after", ""))


def error_in(body: Any, status: int, retry_after: str = "") -> CloisterError:
    """The typed error in an OpenAI error body; `status` decides where the body tells nothing."""
    inner = body.get("error") if isinstance(body, dict) else None
    details: dict[str, Any] = inner if isinstance(inner, dict) else {}
    message = str(details.get("message") or f"the server answered with status {status}")
    code = str(details.get("code") or "") or None
    if status == 429 or details.get("type") == "rate_limit_error":
        return Busy(message, retry_after_s=float(retry_after) if retry_after.isdigit() else 1.0)
    kind = _kind(status, details.get("type"), code)
    return kind(message, param=details.get("param"), code=code)


def _kind(status: int, kind: Any, code: str | None) -> type[CloisterError]:
    if code == ContextExceeded.default_code:
        return ContextExceeded
    if code == DeadlineExceeded.default_code:
        return DeadlineExceeded
    if code == Unavailable.default_code:
        return Unavailable
    if status in _BY_STATUS:
        return _BY_STATUS[status]
    bad = 400 <= status < 500 or kind == BadRequest.kind
    return BadRequest if bad else InternalError
