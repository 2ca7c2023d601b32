"""Who may ask the controller: API keys for clients, the join token for workers."""

from pydantic import SecretStr
from starlette.types import ASGIApp, Receive, Scope, Send

from cloister.errors import Unauthorized
from cloister.fleet import TOKEN_HEADER
from cloister.http import header, same_token
from controller.keys import OPEN_TENANT, Keys

OPEN_PATHS = ("/health", "/ready")
FLEET_PATHS = "/fleet/"


class Access:
    """Lets a request in, as a tenant; whatever route it asks for, known or not."""

    def __init__(self, app: ASGIApp, keys: Keys, join_token: SecretStr) -> None:
        self.app = app
        self.keys = keys
        self.join_token = join_token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            scope["state"]["tenant"] = self._tenant(scope)
        await self.app(scope, receive, send)

    def _tenant(self, scope: Scope) -> str:
        path: str = scope["path"]
        if path in OPEN_PATHS:
            return OPEN_TENANT
        if not path.startswith(FLEET_PATHS):
            return self.keys.tenant(_authorization(scope))
        if not same_token(header(scope, TOKEN_HEADER), self.join_token):
            raise Unauthorized(f"{TOKEN_HEADER} is missing or wrong")
        return OPEN_TENANT


def _authorization(scope: Scope) -> str | None:
    """As OpenAI's clients send it; Anthropic's send the key alone, as `x-api-key`."""
    given, key = header(scope, "authorization"), header(scope, "x-api-key")
    return f"Bearer {key}" if given is None and key is not None else given
