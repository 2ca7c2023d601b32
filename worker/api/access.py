"""Who may talk to this worker, and for whom."""

import re

from pydantic import SecretStr
from starlette.types import ASGIApp, Receive, Scope, Send

from cloister.errors import BadRequest, Unauthorized
from cloister.fleet import TENANT_HEADER, TOKEN_HEADER
from cloister.http import header, same_token

OPEN_PATHS = ("/health", "/ready")
TENANT = re.compile(r"[\x21-\x7e]{0,256}")


class Access:
    """Lets a request in if it shows the worker's token; only then is its tenant believed.

    Without a token the worker is open to all who reach it, and they all share tenant "".
    """

    def __init__(self, app: ASGIApp, token: SecretStr | None) -> None:
        self.app = app
        self.token = token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            scope["state"]["tenant"] = self._tenant(scope)
        await self.app(scope, receive, send)

    def _tenant(self, scope: Scope) -> str:
        if self.token is None or scope["path"] in OPEN_PATHS:
            return ""
        if not same_token(header(scope, TOKEN_HEADER), self.token):
            raise Unauthorized(f"{TOKEN_HEADER} is missing or wrong")
        tenant = header(scope, TENANT_HEADER) or ""
        if not TENANT.fullmatch(tenant):
            raise BadRequest(f"{TENANT_HEADER}: at most 256 visible ASCII characters")
        return tenant
