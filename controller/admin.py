"""Routes under /admin, which an admin key opens and an inference key does not: counts, no texts."""

from dataclasses import asdict
from datetime import date

from fastapi import FastAPI

from cloister import openapi
from cloister.wire.base import Answered
from controller.accounts import Accounts
from controller.ledger import FIRST_DAY, LAST_DAY


class KeyUsage(Answered):
    """What keys of one name used; the name is empty for requests from a time without keys."""

    name: str
    requests: int
    prompt_tokens: int
    cached_tokens: int
    generated_tokens: int


class UsageList(Answered):
    data: list[KeyUsage]


def install(app: FastAPI, accounts: Accounts) -> None:
    """Add the routes."""

    @app.get("/admin/usage", responses=openapi.errors(400, 401, 403))
    async def usage(since: date | None = None, until: date | None = None) -> UsageList:
        """Usage by key, of the days (UTC) from `since` to `until`, both included."""
        days = (str(since or FIRST_DAY), str(until or LAST_DAY))
        found = await accounts.usage(*days)
        return UsageList(data=[KeyUsage(name=name, **asdict(one)) for name, one in found.items()])
