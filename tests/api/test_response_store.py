"""Kept responses: for their tenant alone, bounded, for a while, and nowhere but in memory."""

import asyncio
import logging
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from cloister.errors import NotFound
from cloister.fleet import TENANT_HEADER, TOKEN_HEADER
from cloister.response_id import tag_of
from cloister.wire.chat import TextFormat
from cloister.wire.response import Reasoning, ResponseBody, TextConfig
from tests.api.conftest import client
from tests.api.test_disconnect import Client, Waiting
from tests.fakes.engine import FakeEngine, tokens
from worker.api.app import create_app
from worker.api.response_store import Bounds, Kept, ResponseStore
from worker.api.served import Served

RESPONSES = "/v1/responses"
TOKEN = "a token of the tests"


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def keep(store: ResponseStore, tenant: str = "", size_bytes: int = 1) -> str:
    response = ResponseBody(
        id=store.new_id(),
        created_at=0,
        instructions=None,
        max_output_tokens=None,
        metadata={},
        model="tiny",
        parallel_tool_calls=True,
        previous_response_id=None,
        reasoning=Reasoning(effort=None),
        store=True,
        temperature=1,
        text=TextConfig(format=TextFormat(type="text")),
        tool_choice="auto",
        tools=(),
        top_logprobs=0,
        top_p=1,
        user=None,
    )
    store.put(Kept(tenant, response, (), size_bytes))
    return response.id


def has(store: ResponseStore, id: str, tenant: str = "") -> bool:
    try:
        return store.find(tenant, id).response.id == id
    except NotFound:
        return False


async def test_each_tenant_finds_its_own(clock: Clock) -> None:
    store = ResponseStore(clock=clock)
    id = keep(store, "ann")
    assert has(store, id, "ann")
    assert not has(store, id, "bob")
    with pytest.raises(NotFound):
        store.delete("bob", id)
    store.delete("ann", id)
    assert not has(store, id, "ann")


async def test_time_ends_them(clock: Clock) -> None:
    store = ResponseStore(Bounds(seconds=10), clock)
    one = keep(store)
    clock.now = 5
    other = keep(store)
    clock.now = 10
    assert not has(store, one)
    assert has(store, other)
    store.sweep()
    assert set(store._kept) == {other}


async def test_time_ends_them_though_nobody_asks() -> None:
    store = ResponseStore(Bounds(seconds=0.01))
    swept = asyncio.Event()
    sweep = store.sweep

    def sweep_and_tell() -> None:
        sweep()
        if not store._kept:
            swept.set()

    store.sweep = sweep_and_tell  # type: ignore[method-assign]
    keep(store)
    await asyncio.wait_for(swept.wait(), 10)


async def test_oldest_of_the_largest_tenant_makes_room(clock: Clock) -> None:
    store = ResponseStore(Bounds(responses=3, size_bytes=100), clock)
    small = keep(store, "ann", 10)
    large = [keep(store, "bob", 30), keep(store, "bob", 30)]
    assert keep(store, "ann", 10)
    assert has(store, small, "ann")
    assert [has(store, id, "bob") for id in large] == [False, True]
    huge = keep(store, "eve", 101)
    assert not has(store, huge, "eve")
    assert has(store, large[1], "bob")


async def test_ids_name_the_worker_and_no_two_are_equal() -> None:
    one, other = ResponseStore(), ResponseStore()
    ids = {store.new_id() for store in (one, one, other)}
    assert len(ids) == 3
    assert {tag_of(id) for id in ids} == {one.tag, other.tag}
    assert tag_of("resp_1") is None


def headers(tenant: str) -> dict[str, str]:
    return {TOKEN_HEADER: TOKEN, TENANT_HEADER: tenant}


async def test_other_tenants_cannot_tell_that_a_response_exists(served: Served) -> None:
    app = create_app(served, FakeEngine(), token=SecretStr(TOKEN))
    async with client(app) as http:

        async def ask(method: str, path: str, tenant: str, **body: Any) -> httpx.Response:
            url = RESPONSES + path
            return await http.request(method, url, headers=headers(tenant), json=body or None)

        asked = {"model": "tiny", "input": "hi"}
        id = (await ask("POST", "", "ann", **asked)).json()["id"]
        never = f"resp_{'0' * 16}_{'0' * 32}"
        for method, path in (
            ("GET", ""),
            ("DELETE", ""),
            ("GET", "/input_items"),
            ("POST", "/cancel"),
        ):
            theirs = await ask(method, f"/{id}{path}", "bob")
            nobody_s = await ask(method, f"/{never}{path}", "bob")
            assert theirs.status_code == nobody_s.status_code == 404
            assert theirs.json() == nobody_s.json()
        chained = await ask("POST", "", "bob", **asked, previous_response_id=id)
        assert chained.status_code == 404
        assert (await ask("GET", f"/{id}", "ann")).status_code == 200


@pytest.mark.parametrize("stream", [True, False])
async def test_leaving_cancels_and_keeps_nothing(
    stream: bool, served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.api.test_disconnect.CHAT", RESPONSES)
    engine, store = Waiting(), ResponseStore()
    body = {"model": "tiny", "input": "hi", "stream": stream}
    leaving = Client(create_app(served, engine, store=store), body)
    assert await asyncio.to_thread(engine.came.wait, 5)
    engine.push(*tokens("a", "b")[:1])
    if stream:
        await leaving.wrote.wait()
    leaving.left.set()
    await asyncio.wait_for(leaving.task, 5)
    assert engine.cancelled == [engine.requests[0].id]
    assert not store._kept


async def test_no_word_reaches_a_log_or_a_repr(
    served: Served, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    store = ResponseStore()
    async with client(create_app(served, FakeEngine(tokens("canary")), store=store)) as http:
        for stream in (False, True):
            asked = {"model": "tiny", "input": "canary", "stream": stream}
            assert "canary" in (await http.post(RESPONSES, json=asked)).text
        wrong = {"model": "tiny", "input": [{"type": "message", "content": "canary"}]}
        assert (await http.post(RESPONSES, json=wrong)).status_code == 400
        metrics = (await http.get("/metrics")).text
    [(_, kept), _] = store._kept.values()
    assert "canary" not in caplog.text + repr(kept) + metrics
    assert 'route="/v1/responses",status="200"' in metrics
