"""Routes under /admin/keys: what `cloister keys` does, for whoever holds an admin key.

They make, limit and revoke inference keys. Admin keys are made and revoked where the file is, so
that a stolen one neither outlives its revocation nor locks the others out.
"""

import time
from dataclasses import asdict, replace
from functools import partial
from typing import Annotated

from fastapi import FastAPI
from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from cloister import openapi
from cloister.errors import BadRequest, Forbidden
from cloister.wire.base import Answered, Asked
from controller.accounts import Accounts
from controller.bodies import told
from controller.keys import LARGEST_LIMIT, LAST_SECOND, NAME, Key, Kind, Limits, State

ROUTE = "/admin/keys"
ONE = f"{ROUTE}/{{name}}"
ERRORS = (400, 401, 403, 413)

Limit = Annotated[int, Field(ge=1, le=LARGEST_LIMIT)]


class KeyLimits(Asked):
    """Limits of a key; null is none, and what is left out stays."""

    requests_per_minute: Limit | None = None
    tokens_per_minute: Limit | None = None
    parallel_requests: Limit | None = None


class NewKey(KeyLimits):
    """`expires_at` is Unix time in seconds, in the future."""

    name: Annotated[str, Field(pattern=f"^{NAME.pattern}$")]
    expires_at: Annotated[float, Field(gt=0, le=LAST_SECOND)] | None = None


class KeyInfo(Answered):
    """All that is known of a key; times are Unix time in seconds."""

    name: str
    kind: Kind
    state: State
    created_at: int
    expires_at: int | None
    revoked_at: int | None
    requests_per_minute: int | None
    tokens_per_minute: int | None
    parallel_requests: int | None


class CreatedKey(Answered):
    """The only time that `key` is shown; its hash is kept."""

    name: str
    key: str


class KeyList(Answered):
    data: list[KeyInfo]


def install(app: FastAPI, accounts: Accounts) -> None:
    """Add the routes."""

    @app.get(ROUTE, responses=openapi.errors(401, 403))
    async def keys() -> KeyList:
        """All keys, revoked and expired ones too, the oldest first."""
        return KeyList(data=[_info(key) for key in accounts.keys.all()])

    @app.post(ROUTE, responses=openapi.errors(*ERRORS), openapi_extra=openapi.body_of(NewKey))
    async def create(request: Request, response: Response) -> CreatedKey:
        """Make an inference key, and show it once."""
        new = await told(request, NewKey)
        if new.expires_at is not None and new.expires_at <= time.time():
            raise BadRequest("expires_at: this time is over", param="expires_at")
        work = partial(
            accounts.keys.create,
            new.name,
            limits=_changed(Limits(), new),
            expires_at=new.expires_at,
        )
        key = await accounts.change_keys(work)
        response.headers["cache-control"] = "no-store"
        return CreatedKey(name=new.name, key=key)

    @app.patch(
        ONE, responses=openapi.errors(404, *ERRORS), openapi_extra=openapi.body_of(KeyLimits)
    )
    async def limit(request: Request, name: str) -> KeyInfo:
        """Change limits of an inference key."""
        wanted = await told(request, KeyLimits)
        limits = _changed(_own(accounts, name).limits, wanted)
        await accounts.change_keys(partial(accounts.keys.limit, name, limits))
        return _info(accounts.keys.living(name))

    @app.delete(ONE, responses=openapi.errors(404, *ERRORS))
    async def revoke(name: str) -> KeyInfo:
        """Let an inference key in no more; its usage stays."""
        key = _own(accounts, name)
        await accounts.change_keys(partial(accounts.keys.revoke, name))
        return _info(replace(key, revoked_at=time.time()))


def _own(accounts: Accounts, name: str) -> Key:
    """The inference key of this name. Raises `NotFound`, and `Forbidden` for an admin key."""
    key = accounts.keys.living(name)
    if key.kind is Kind.ADMIN:
        raise Forbidden("admin keys are changed by `cloister keys` alone", code="admin_key")
    return key


def _changed(now: Limits, wanted: KeyLimits) -> Limits:
    """`now`, but for what is said."""
    names = wanted.model_fields_set & asdict(now).keys()
    return replace(now, **{name: getattr(wanted, name) for name in names})


def _info(key: Key) -> KeyInfo:
    return KeyInfo(
        name=key.name,
        kind=key.kind,
        state=key.state(time.time()),
        created_at=int(key.created_at),
        expires_at=None if key.expires_at is None else int(key.expires_at),
        revoked_at=None if key.revoked_at is None else int(key.revoked_at),
        **asdict(key.limits),
    )
