"""The controller's OpenAPI document names every route, its key, and only what is really sent."""

import json
import re
from typing import Any

import httpx
import pytest
from starlette.routing import Route

from cloister.fleet import JOIN_PATH, TOKEN_HEADER, Join
from controller.keys import KeyTable, Kind
from tests.controller.conftest import TOKEN, bearer, chat, new_app, new_store, state
from tests.controller.workers import stream, whole, worker

CHAT = "/v1/chat/completions"


@pytest.fixture
def app() -> Any:
    return new_app()


@pytest.fixture
def document(app: Any) -> dict[str, Any]:
    found: dict[str, Any] = app.openapi()
    return found


def test_all_routes_are_in_it_and_no_others(app: Any, document: dict[str, Any]) -> None:
    served = {
        route.path.replace(":path", "")
        for route in app.routes
        if isinstance(route, Route) and route.path != "/openapi.json"
    }
    assert served == set(document["paths"])


def test_references_all_resolve(document: dict[str, Any]) -> None:
    names = set(re.findall(r'"#/components/schemas/([^"]+)"', json.dumps(document)))
    assert {"ChatRequest", "ChatChunk", "ErrorBody", "Join", "UsageRecord"} <= names
    assert names <= set(document["components"]["schemas"])


def test_every_route_but_two_names_its_key(document: dict[str, Any]) -> None:
    named = {
        path: [scheme for asked in route["security"] for scheme in asked]
        for path, routes in document["paths"].items()
        for route in routes.values()
    }
    assert named.pop("/health") == named.pop("/ready") == []
    admin = [named.pop(path) for path in ("/admin/usage", "/admin/keys", "/admin/keys/{name}")]
    assert admin == 3 * [["admin"]]
    assert {named.pop(f"/fleet/{name}")[0] for name in ("join", "beat", "leave")} == {"worker"}
    assert set(map(tuple, named.values())) == {("key",)}
    assert {"key", "admin", "worker"} == set(document["components"]["securitySchemes"])


def test_no_route_promises_a_422(document: dict[str, Any]) -> None:
    routes = [route for path in document["paths"].values() for route in path.values()]
    assert all("422" not in route["responses"] for route in routes)


async def test_answers_have_the_statuses_that_are_told() -> None:
    store = new_store()
    ann, root = KeyTable(store).create("ann"), KeyTable(store).create("root", kind=Kind.ADMIN)
    app = new_app(store)
    told = app.openapi()["paths"]
    join = {TOKEN_HEADER: TOKEN}
    requests = [
        ("POST", CHAT, ann, chat(), 503),
        ("POST", CHAT, ann, {}, 400),
        ("POST", CHAT, root, {}, 403),
        ("POST", CHAT, "no key", {}, 401),
        ("GET", "/v1/models", ann, None, 200),
        ("GET", "/v1/models", root, None, 403),
        ("GET", "/metrics", ann, None, 200),
        ("GET", "/admin/usage", root, None, 200),
        ("GET", "/admin/usage", ann, None, 403),
        ("GET", "/admin/usage?since=x", root, None, 400),
        ("GET", "/admin/keys", root, None, 200),
        ("GET", "/admin/keys", ann, None, 403),
        ("POST", "/admin/keys", root, {"name": "bob"}, 200),
        ("POST", "/admin/keys", root, {"name": "b b"}, 400),
        ("POST", "/fleet/join", ann, {}, 400),
        ("POST", "/fleet/beat", ann, {"member": "x", "state": {"models": []}}, 400),
        ("POST", "/fleet/leave", ann, {"member": "x"}, 200),
        ("GET", "/ready", ann, None, 503),
        ("GET", "/health", ann, None, 200),
    ]
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://controller") as http:
        for method, path, key, body, status in requests:
            answer = await http.request(method, path, headers=bearer(key) | join, json=body)
            assert answer.status_code == status, path
            assert str(status) in told[path.split("?")[0]][method.lower()]["responses"], path


@pytest.mark.parametrize("play", [stream(), whole(400), whole(429), whole(404), whole(500)])
async def test_what_a_worker_answers_is_told_too(app: Any, play: Any) -> None:
    told = app.openapi()["paths"][CHAT]["post"]["responses"]
    transport = httpx.ASGITransport(app)
    async with (
        worker(play) as fake,
        httpx.AsyncClient(transport=transport, base_url="http://controller") as http,
    ):
        join = Join(url=fake.url, state=state()).model_dump_json()
        await http.post(JOIN_PATH, content=join, headers={TOKEN_HEADER: TOKEN})
        assert str((await http.post(CHAT, json=chat())).status_code) in told
