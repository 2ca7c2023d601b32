"""What worker and controller share as HTTP servers: error answers, request ids, body limit.

Everything here is plain ASGI: a layer that wraps bodies into tasks of its own (BaseHTTPMiddleware)
breaks streaming and hides a client's disconnect.
"""

import hmac
import logging
import re
import time
import uuid
from collections.abc import Callable, Mapping
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from pydantic import SecretStr
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cloister import anthropic
from cloister.errors import BadRequest, CloisterError, InternalError, NotFound, TooLarge
from cloister.logs import places

MAX_BODY_BYTES = 8 * 1024 * 1024
LEFT = "left"  # stands for a status where the client went before there was one
SANE_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}", re.ASCII)

log = logging.getLogger(__name__)


class MethodNotAllowed(BadRequest):
    status = 405
    default_code = "method_not_allowed"


def install(app: FastAPI, *, max_body_bytes: int = MAX_BODY_BYTES) -> None:
    """Give `app` the error answers and the layers below. Layers added later lie outside these."""
    app.add_exception_handler(CloisterError, _answer_own)
    app.add_exception_handler(RequestValidationError, _answer_invalid)
    app.add_exception_handler(HTTPException, _answer_http)
    app.add_middleware(BodyLimit, max_bytes=max_body_bytes)
    app.add_middleware(Guard)
    app.add_middleware(Stamp)


def error_response(error: CloisterError) -> JSONResponse:
    """OpenAI's error body with the right status and headers."""
    return JSONResponse(error.body(), status_code=error.status, headers=error.headers())


def same_token(given: str | None, expected: SecretStr) -> bool:
    """Compare in a time that does not depend on where the two differ."""
    secret = expected.get_secret_value().encode()
    return hmac.compare_digest((given or "").encode(), secret) and bool(secret)


def header(scope: Scope, name: str) -> str | None:
    """A request header's first value; `name` in lower case."""
    wanted = name.encode("ascii")
    for key, value in scope["headers"]:
        if key == wanted:
            return str(value, "latin-1")
    return None


def request_id(scope: Scope) -> str:
    """The id of this request, as the answer's `x-request-id` shows it."""
    return str(scope["state"]["request_id"])


async def read_body(receive: Receive) -> bytes:
    """The whole body. Raises `ClientDisconnect` if the client leaves before its end."""
    pieces: list[bytes] = []
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        pieces.append(message.get("body", b""))
        if not message.get("more_body", False):
            return b"".join(pieces)


class Stamp:
    """Puts `x-request-id` and `openai-processing-ms` on each answer that has none yet.

    A client's own id is kept if it is short and plain, since it comes back in a header.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        began = time.perf_counter()
        given = header(scope, "x-request-id") or ""
        name = given if SANE_ID.fullmatch(given) else f"req_{uuid.uuid4().hex}"
        scope.setdefault("state", {})["request_id"] = name

        async def stamped(message: Message) -> None:
            if message["type"] == "http.response.start":
                duration = round((time.perf_counter() - began) * 1000)
                _add(message, {"x-request-id": name, "openai-processing-ms": str(duration)})
                if anthropic.owns(scope["path"]):
                    _add(message, {"request-id": name})
            await send(message)

        return await self.app(scope, receive, stamped)


class Guard:
    """Turns what nobody expected into a 500 without detail, and a log line without content.

    When the answer has begun already, it is left unfinished and the server cuts the connection.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        started = False

        async def watched(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            return await self.app(scope, receive, watched)
        except ClientDisconnect:
            return None
        except CloisterError as error:
            answer = _error_answer(error, scope)
        except Exception as error:
            log.error("unexpected error in request %s\n%s", request_id(scope), places(error))
            unknown = InternalError("an internal error; the request id names it")
            answer = _error_answer(unknown, scope)
        return None if started else await answer(scope, receive, send)


class CountAnswers:
    """Calls `count` once for each request, with its path and its answer's status."""

    def __init__(self, app: ASGIApp, count: Callable[[str, str], None]) -> None:
        self.app = app
        self.count = count

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        status = LEFT

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = str(message["status"])
            await send(message)

        try:
            return await self.app(scope, receive, watched)
        finally:
            self.count(scope["path"], status)


class BodyLimit:
    """Refuses a body over `max_bytes` with 413: by its announced length, or while it comes in."""

    def __init__(self, app: ASGIApp, max_bytes: int) -> None:
        self.app = app
        self.max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        self._check(_announced(scope))
        read_bytes = 0

        async def counted() -> Message:
            nonlocal read_bytes
            message = await receive()
            read_bytes += len(message.get("body", b""))
            self._check(read_bytes)
            return message

        return await self.app(scope, counted, send)

    def _check(self, size_bytes: int) -> None:
        if size_bytes > self.max_bytes:
            raise TooLarge(f"the body has {size_bytes} bytes or more; limit {self.max_bytes}")


def _announced(scope: Scope) -> int:
    length = header(scope, "content-length") or ""
    return int(length) if length.isascii() and length.isdigit() else 0


def _add(message: Message, headers: Mapping[str, str]) -> None:
    present = message.get("headers") or []
    names = {key.lower() for key, _ in present}
    extra = [(key.encode(), value.encode()) for key, value in headers.items()]
    message["headers"] = [*present, *(pair for pair in extra if pair[0] not in names)]


def _error_answer(error: CloisterError, scope: Scope) -> JSONResponse:
    """OpenAI's error body, or Anthropic's on its routes."""
    if not anthropic.owns(scope["path"]):
        return error_response(error)
    body = anthropic.error_body(error, request_id(scope))
    return JSONResponse(body, status_code=error.status, headers=error.headers())


async def _answer_own(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, CloisterError)
    return _error_answer(error, request.scope)


async def _answer_invalid(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    fault: dict[str, Any] = error.errors()[0]
    place = ".".join(str(part) for part in fault["loc"][1:])
    invalid = BadRequest(f"{place}: {fault['msg']}", param=place or None)
    return _error_answer(invalid, request.scope)


async def _answer_http(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    known = _known(error.status_code, request.method)
    answer = _error_answer(known, request.scope)
    answer.headers.update(error.headers or {})
    return answer


def _known(status: int, method: str) -> CloisterError:
    match status:
        case 404:
            return NotFound("there is no such route", code="route_not_found")
        case 405:
            return MethodNotAllowed(f"this route does not take {method}")
        case _ if status < 500:
            return BadRequest("the request could not be read")
        case _:
            return InternalError("an internal error")
