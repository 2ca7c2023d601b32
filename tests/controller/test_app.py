"""The controller's own routes: who is let in, what they answer, what they refuse."""

import logging
import re
from typing import Any

import httpx
import pytest
from starlette.routing import Route

from cloister.fleet import BEAT_PATH, JOIN_PATH, LEAVE_PATH, TOKEN_HEADER, Beat, Leave
from controller.keys import KeyTable, Kind
from tests.controller.conftest import MODEL, TOKEN, Joins, bearer, chat, new_app, new_store, state
from tests.controller.workers import reset, stream, worker

CHAT = "/v1/chat/completions"
FLEET = {TOKEN_HEADER: TOKEN}
NOWHERE = "http://127.0.0.1:9"


def client(app: Any) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://controller")


def error_of(answer: httpx.Response) -> dict[str, Any]:
    error: dict[str, Any] = answer.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert answer.headers["x-request-id"]
    return error


async def test_every_route_but_two_asks_for_the_key() -> None:
    store = new_store()
    KeyTable(store).create("ann")
    app = new_app(store)
    routes = [route for route in app.routes if isinstance(route, Route)]
    assert len(routes) == len(app.routes) >= 10
    async with client(app) as http:
        for route in routes:
            for method in route.methods or ():
                path = route.path.replace("{name:path}", "tiny")
                answer = await http.request(method, path, headers=bearer("x"))
                expected = {"/health": 200, "/ready": 503}.get(path, 401)
                assert answer.status_code == expected, path
                if expected == 401 and method != "HEAD":
                    assert answer.json()["error"]["type"] == "authentication_error"
        for path in ("/", "/docs", "/openapi.json", "/v1/none", "/fleet/none", "/fleet", "/admin"):
            assert (await http.get(path)).status_code == 401, path


async def test_key_opens_the_api_and_an_admin_key_the_admin_s_routes() -> None:
    store = new_store()
    ann, root = KeyTable(store).create("ann"), KeyTable(store).create("root", kind=Kind.ADMIN)
    opened = {ann: ("/v1/models", "/metrics", "/openapi.json"), root: ("/admin/usage",)}
    async with client(new_app(store)) as http:
        for key, paths in opened.items():
            for path in {*opened[ann], *opened[root]}:
                answer = await http.get(path, headers=bearer(key))
                assert answer.status_code == (200 if path in paths else 403), path
        refused = await http.post(CHAT, json=chat(), headers=bearer(root))
    assert error_of(refused)["code"] == "wrong_key"


async def test_admin_s_routes_stay_shut_while_everything_else_is_open() -> None:
    async with client(new_app()) as http:
        assert (await http.get("/v1/models")).status_code == 200
        assert (await http.get("/admin/usage")).status_code == 401
        assert (await http.get("/admin/usage", headers=bearer("x"))).status_code == 401


@pytest.mark.parametrize("path", [JOIN_PATH, BEAT_PATH, LEAVE_PATH])
@pytest.mark.parametrize("headers", [{}, {TOKEN_HEADER: "wrong"}, {TOKEN_HEADER: TOKEN + "x"}])
async def test_wrong_token_joins_nothing(path: str, headers: dict[str, str]) -> None:
    async with client(new_app()) as http:
        answer = await http.post(path, headers=headers, json={})
        assert answer.status_code == 401
        assert (await http.get("/ready")).status_code == 503


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b'{"url": 3}', b'{"url": "ftp://x", "state": {"models": []}}', b"{nonsense"],
)
async def test_broken_join_is_refused(body: bytes) -> None:
    async with client(new_app()) as http:
        answer = await http.post(JOIN_PATH, content=body, headers=FLEET)
    assert answer.status_code == 400
    error_of(answer)


async def test_worker_joins_beats_and_leaves(http: httpx.AsyncClient, join: Joins) -> None:
    assert (await http.get("/ready")).status_code == 503
    joined = await join(NOWHERE)
    assert joined["beat_interval_s"] == 60
    assert (await http.get("/ready")).status_code == 200
    beat = Beat(member=joined["member"], state=state(ready=False)).model_dump_json()
    assert (await http.post(BEAT_PATH, content=beat, headers=FLEET)).json() == {"counted": 0}
    assert (await http.get("/ready")).status_code == 503
    leave = Leave(member=joined["member"]).model_dump_json()
    assert (await http.post(LEAVE_PATH, content=leave, headers=FLEET)).status_code == 200
    answer = await http.post(BEAT_PATH, content=beat, headers=FLEET)
    assert (answer.status_code, error_of(answer)["code"]) == (404, "unknown_member")


async def test_models_are_those_of_all_workers(http: httpx.AsyncClient, join: Joins) -> None:
    await join(NOWHERE, "one", "two")
    await join("http://127.0.0.1:10", "org/three", "two")
    models = (await http.get("/v1/models")).json()
    assert models["object"] == "list"
    assert [model["id"] for model in models["data"]] == ["one", "org/three", "two"]
    assert (await http.get("/v1/models/org/three")).json() == {
        "id": "org/three",
        "object": "model",
        "created": 7,
        "owned_by": "cloister",
        "context_length": 100,
        "execution": "local",
    }
    missing = await http.get("/v1/models/four")
    assert (missing.status_code, error_of(missing)["code"]) == (404, "model_not_found")


@pytest.mark.parametrize(
    ("body", "param"),
    [
        (b"{", None),
        (b"", None),
        (b"[1]", None),
        (b"\xff{}", None),
        (b'{"a":' * 100_000, None),
        (b"{}", "model"),
        (b'{"model": null}', "model"),
        (b'{"model": 3}', "model"),
        (b'{"model": ""}', "model"),
    ],
)
async def test_body_without_a_model_is_refused(
    http: httpx.AsyncClient, join: Joins, body: bytes, param: str | None
) -> None:
    await join(NOWHERE)
    answer = await http.post(CHAT, content=body)
    assert answer.status_code == 400
    assert error_of(answer)["param"] == param


async def test_unknown_model_is_not_found_and_no_worker_unavailable(
    http: httpx.AsyncClient, join: Joins
) -> None:
    none = await http.post(CHAT, json=chat())
    assert (none.status_code, error_of(none)["code"]) == (503, "no_worker")
    assert int(none.headers["retry-after"]) >= 1
    await join(NOWHERE, "other")
    unknown = await http.post(CHAT, json=chat())
    assert (unknown.status_code, error_of(unknown)["param"]) == (404, "model")


async def test_huge_body_is_refused(http: httpx.AsyncClient) -> None:
    answer = await http.post(CHAT, content=b" " * (9 * 2**20))
    assert (answer.status_code, error_of(answer)["code"]) == (413, "request_too_large")


async def test_unknown_routes_answer_in_the_shape_of_errors(http: httpx.AsyncClient) -> None:
    missing = await http.post("/v1/images", json={})
    assert (missing.status_code, error_of(missing)["code"]) == (404, "route_not_found")
    wrong = await http.get(CHAT)
    assert (wrong.status_code, error_of(wrong)["code"]) == (405, "method_not_allowed")


async def test_metrics_count_without_naming_anyone(http: httpx.AsyncClient, join: Joins) -> None:
    answer = b"data: [DONE]\n\n"
    async with worker(reset) as bad, worker(stream(answer)) as good:
        await join(bad.url)
        await join(good.url, queued_tokens=1000, tokens_per_s=10.0)
        await http.post(CHAT, json=chat())
    text = (await http.get("/metrics")).text
    for line in (
        "cloister_controller_retries_total 1.0",
        f"cloister_controller_relayed_bytes_total {float(len(answer))}",
        'cloister_controller_workers{state="ready"} 1.0',
        'cloister_controller_workers{state="not_ready"} 1.0',
        "cloister_controller_time_to_first_byte_seconds_count 1.0",
        'cloister_controller_requests_total{status="200"}',
        f'cloister_controller_expected_wait_seconds{{model="{MODEL}"}}',
    ):
        assert line in text
    labels = set(re.findall(r'(\w+)="', text))
    assert labels <= {"status", "state", "model", "le"}


async def test_no_word_of_a_request_reaches_a_log(
    http: httpx.AsyncClient, join: Joins, caplog: pytest.LogCaptureFixture
) -> None:
    canary = "canary-3141592"
    for name in ("controller", "cloister", "uvicorn.error", "asyncio"):
        caplog.set_level(logging.DEBUG, name)
    headers = {"authorization": f"Bearer {canary}", "x-cloister-tenant": canary}
    broken = stream(b"data: {}\n\n", f"data: {canary}".encode(), cut=True)
    async with worker(reset) as bad, worker(broken) as cut:
        await join(bad.url)
        await join(cut.url, queued_tokens=1000)
        await http.post(CHAT, json=chat(canary), headers=headers)
        await http.post(CHAT, content=f'{{"model": "tiny", "{canary}'.encode(), headers=headers)
        await http.post(CHAT, json={"model": canary}, headers=headers)
        await http.get(f"/v1/models/{canary}")
        metrics = (await http.get("/metrics")).text
    assert caplog.records  # the worker's failure is told
    assert canary not in caplog.text + metrics
    assert TOKEN not in caplog.text
