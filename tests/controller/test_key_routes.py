"""Keys over HTTP: what `cloister keys` does, for an admin key, and not beyond."""

import logging
import time
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from controller.keys import KeyTable, Kind, Limits
from tests.controller.conftest import bearer, new_app, new_store

KEYS = "/admin/keys"


class Office:
    """A controller with an admin's key, who asks."""

    http: httpx.AsyncClient

    def __init__(self) -> None:
        self.store = new_store()
        self.table = KeyTable(self.store)
        self.root = self.table.create("root", kind=Kind.ADMIN)

    async def create(self, name: str = "ann", **more: Any) -> str:
        answer = await self.http.post(KEYS, json={"name": name, **more})
        assert answer.json().keys() == {"name", "key"}, answer.text
        assert answer.headers["cache-control"] == "no-store"
        return str(answer.json()["key"])

    async def listed(self) -> dict[str, dict[str, Any]]:
        """By name."""
        answer = await self.http.get(KEYS)
        return {one["name"]: one for one in answer.json()["data"]}

    async def opens(self, key: str) -> bool:
        answer = await self.http.get("/v1/models", headers=bearer(key))
        return answer.status_code == 200


@pytest.fixture
async def office() -> AsyncIterator[Office]:
    office = Office()
    transport = httpx.ASGITransport(new_app(office.store))
    async with httpx.AsyncClient(
        transport=transport, base_url="http://controller", headers=bearer(office.root)
    ) as office.http:
        yield office


async def test_created_key_opens_the_api_at_once(office: Office) -> None:
    assert await office.opens("no key")  # there is none yet
    key = await office.create("ann", requests_per_minute=60, parallel_requests=2)
    assert await office.opens(key)
    assert not await office.opens("no key")
    assert office.table.living("ann").limits == Limits(60, None, 2)


async def test_revoked_key_opens_nothing_at_once_and_stays_in_the_list(office: Office) -> None:
    key = await office.create()
    revoked = await office.http.delete(f"{KEYS}/ann")
    assert revoked.json()["state"] == "revoked"
    assert not await office.opens(key)
    assert (await office.listed())["ann"]["state"] == "revoked"
    assert (await office.http.delete(f"{KEYS}/ann")).json()["error"]["code"] == "key_not_found"


async def test_limits_change_what_is_named_and_nothing_else(office: Office) -> None:
    key = await office.create(requests_per_minute=60, parallel_requests=2)
    wanted = {"tokens_per_minute": 5, "parallel_requests": None}
    changed = await office.http.patch(f"{KEYS}/ann", json=wanted)
    assert changed.json() == (await office.listed())["ann"]
    assert office.table.living("ann").limits == Limits(60, 5, None)
    answer = await office.http.get("/v1/models", headers=bearer(key))
    assert answer.headers["x-ratelimit-limit-tokens"] == "5"


async def test_key_is_shown_once_and_never_logged(
    office: Office, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    key = await office.create()
    assert key not in (await office.http.get(KEYS)).text
    assert key not in (await office.http.post(KEYS, json={"name": "ann"})).text
    assert key not in caplog.text


async def test_key_ends_when_told(office: Office) -> None:
    ends = time.time() + 3600
    await office.create(expires_at=ends)
    assert (await office.listed())["ann"]["expires_at"] == int(ends)


async def test_admin_keys_are_not_made_changed_or_revoked_here(office: Office) -> None:
    asked = await office.http.post(KEYS, json={"name": "eve", "kind": "admin"})
    assert (asked.status_code, asked.json()["error"]["param"]) == (400, "kind")
    for method, body in (("DELETE", None), ("PATCH", {"parallel_requests": 1})):
        answer = await office.http.request(method, f"{KEYS}/root", json=body)
        assert (answer.status_code, answer.json()["error"]["code"]) == (403, "admin_key")
    assert (await office.listed()).keys() == {"root"}


@pytest.mark.parametrize(
    ("param", "body"),
    [
        ("name", {}),
        ("name", {"name": "a b"}),
        ("name", {"name": "root"}),
        ("name", {"name": "x" * 65}),
        ("parallel_requests", {"name": "ann", "parallel_requests": 0}),
        ("tokens_per_minute", {"name": "ann", "tokens_per_minute": 10**13}),
        ("requests_per_minute", {"name": "ann", "requests_per_minute": True}),
        ("expires_at", {"name": "ann", "expires_at": 1.0}),
        ("expires_at", {"name": "ann", "expires_at": 1e300}),
        ("colour", {"name": "ann", "colour": "red"}),
    ],
)
async def test_wrong_body_is_told(office: Office, param: str, body: dict[str, Any]) -> None:
    answer = await office.http.post(KEYS, json=body)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)
    assert (await office.listed()).keys() == {"root"}
