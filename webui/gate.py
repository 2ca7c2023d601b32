"""What the page's server answers at all: the page, its files, its events; nothing else.

Gradio brings routes for uploads, files, proxies, an API and monitoring. None of them is reached.
"""

import re

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cloister.errors import NotFound
from cloister.http import error_response

READ = re.compile(
    r"/|/(health|ready|config|theme\.css|favicon\.ico|robots\.txt)"
    r"|/(assets|static)/.+"
    r"|/gradio_api/(queue/data|startup-events|heartbeat/[^/]+)"
)
WRITE = re.compile(r"/gradio_api/(queue/join|cancel|reset)")

SOURCES = "; ".join(
    (
        "default-src 'self'",
        "script-src 'self' 'unsafe-inline'",
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data: blob:",
        "font-src 'self' data:",
        "object-src 'none'",
        "base-uri 'self'",
        "form-action 'self'",
        "frame-ancestors 'self'",
    )
)
HEADERS = {
    "content-security-policy": SOURCES,  # an image in an answer must not tell another host
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}
FOREVER = {"cache-control": "public, max-age=31536000, immutable"}
"""For the page's own files: their names change with their content."""


class Gate:
    """Answers 404 to what is not listed, and tells browsers to load from this host only."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)

        if not _open(scope["method"], scope["path"]):
            return await error_response(NotFound("there is no such route"))(scope, receive, send)
        lasting = FOREVER if scope["path"].startswith("/assets/") else {}

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update({**HEADERS, **lasting})
            await send(message)

        return await self.app(scope, receive, guarded)


def _open(method: str, path: str) -> bool:
    routes = {"GET": READ, "HEAD": READ, "POST": WRITE}.get(method)
    return routes is not None and routes.fullmatch(path) is not None
