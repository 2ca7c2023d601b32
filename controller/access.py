"""Who may ask the controller: API keys for clients and admins, the join token for workers."""

from pydantic import SecretStr
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cloister.errors import Forbidden, Unauthorized
from cloister.fleet import TOKEN_HEADER
from cloister.http import add_headers, header, same_token
from controller.accounts import Accounts
from controller.keys import ANYONE, Key, Kind, Limits

OPEN_PATHS = ("/health", "/ready")
FLEET_PATHS = "/fleet/"
ADMIN_PATHS = "/admin/"


class Access:
    """Lets a request in, as a tenant; whatever route it asks for, known or not.

    Answers tell what is left of the limits of the request's key.
    """

    def __init__(self, app: ASGIApp, accounts: Accounts, join_token: SecretStr) -> None:
        self.app = app
        self.accounts = accounts
        self.join_token = join_token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        key = self._key(scope)
        scope["state"]["tenant"] = key.tenant
        if key.limits == Limits():
            return await self.app(scope, receive, send)

        async def told(message: Message) -> None:
            if message["type"] == "http.response.start":
                add_headers(message, self.accounts.headers(key.tenant))
            await send(message)

        return await self.app(scope, receive, told)

    def _key(self, scope: Scope) -> Key:
        path: str = scope["path"]
        if path in OPEN_PATHS:
            return ANYONE
        if path.startswith(FLEET_PATHS):
            return self._fleet(header(scope, TOKEN_HEADER))
        kind = Kind.ADMIN if path.startswith(ADMIN_PATHS) else Kind.INFERENCE
        key = self.accounts.key(_authorization(scope), kind)
        if key.kind is not kind:
            raise Forbidden(f"this route asks for an {kind} key; this one is an {key.kind} key")
        return key

    def _fleet(self, token: str | None) -> Key:
        if not same_token(token, self.join_token):
            raise Unauthorized(f"{TOKEN_HEADER} is missing or wrong")
        return ANYONE


def _authorization(scope: Scope) -> str | None:
    """As OpenAI's clients send it; Anthropic's send the key alone, as `x-api-key`."""
    given, key = header(scope, "authorization"), header(scope, "x-api-key")
    return f"Bearer {key}" if given is None and key is not None else given
