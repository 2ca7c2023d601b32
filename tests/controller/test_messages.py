"""Anthropic's routes through the controller: keys, errors and broken streams in its own form."""

import json
from collections.abc import AsyncIterator
from typing import Any

import anthropic
import httpx
import pytest

from cloister.errors import Unavailable
from cloister.sse import Parser
from controller.frames import MessageEvents
from controller.keys import Key, make
from tests.controller.conftest import MODEL, Joins, chat, join_at, new_app
from tests.controller.workers import stream, whole, worker
from tests.fakes.server import serving

ROUTE = "/v1/messages"
ASKED = chat(max_tokens=9)
STOP = b'event: message_stop\ndata: {"type":"message_stop"}\n\n'
PING = b'event: ping\ndata: {"type":"ping"}\n\n'


def event(kind: str, **more: Any) -> bytes:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **more})}\n\n".encode()


@pytest.fixture
async def sdk(url: str) -> AsyncIterator[anthropic.AsyncAnthropic]:
    async with anthropic.AsyncAnthropic(
        base_url=url, api_key="k", max_retries=0, _strict_response_validation=True
    ) as client:
        yield client


async def test_key_may_come_as_anthropic_s_clients_send_it() -> None:
    key, line = make("ann")
    name, _, digest = line.partition(":")
    with serving(new_app(Key(name, bytes.fromhex(digest)))) as url:
        async with httpx.AsyncClient(base_url=url) as http, worker(whole()) as fake:
            await join_at(http, fake.url)
            for headers in ({"x-api-key": key}, {"authorization": f"Bearer {key}"}):
                assert (await http.post(ROUTE, json=ASKED, headers=headers)).status_code == 200
            for headers in ({"x-api-key": "x"}, {"x-api-key": key, "authorization": "Bearer x"}):
                refused = await http.post(ROUTE, json=ASKED, headers=headers)
                assert refused.status_code == 401
                assert refused.json()["error"]["type"] == "authentication_error"
    tenants = {asked.headers["x-cloister-tenant"] for asked in fake.asked}
    assert len(tenants) == 1
    assert "" not in tenants
    assert all("x-api-key" not in asked.headers for asked in fake.asked)


@pytest.mark.parametrize(
    ("model", "status", "kind"),
    [
        ("gpt", 404, "not_found_error"),
        (MODEL, 503, "overloaded_error"),
        (3, 400, "invalid_request_error"),
    ],
)
async def test_what_the_controller_refuses_has_anthropic_s_shape(
    http: httpx.AsyncClient, join: Joins, model: Any, status: int, kind: str
) -> None:
    await join("http://127.0.0.1:9", MODEL)
    answer = await http.post(ROUTE, json={**ASKED, "model": model})
    body = answer.json()
    assert (answer.status_code, body["error"]["type"]) == (status, kind)
    assert body["type"] == "error"
    assert body["request_id"] == answer.headers["request-id"]


async def test_stream_that_breaks_off_ends_with_anthropic_s_error(
    sdk: anthropic.AsyncAnthropic, http: httpx.AsyncClient, join: Joins
) -> None:
    start = event("content_block_stop", index=0)
    async with worker(stream(start + PING, start[:20], cut=True)) as fake:
        await join(fake.url)
        seen: list[str] = []
        with pytest.raises(anthropic.APIStatusError, match="overloaded_error"):  # noqa: PT012
            async for one in await sdk.messages.create(**ASKED, stream=True):
                seen.append(one.type)
    assert seen == ["content_block_stop"]


@pytest.mark.parametrize("last", [STOP, event("error", error={"type": "api_error", "message": ""})])
def test_nothing_follows_the_last_event(last: bytes) -> None:
    broken = Unavailable("the worker's answer broke off")
    frames = MessageEvents()
    told = event("content_block_delta", index=0, delta={"text": "event: message_stop"})
    assert frames.take(told + told[:9]) == told
    [error] = Parser().feed(frames.ending(broken))
    assert error.name == json.loads(error.data)["type"] == "error"
    for pieces in ([PING + last], [PING, last], [PING, last, b": late"]):
        frames = MessageEvents()
        for piece in pieces:
            frames.take(piece)
        assert frames.ending(broken) == b""


@pytest.mark.parametrize("route", ["/tokenize", "/detokenize"])
async def test_model_may_be_left_out_where_there_is_one(
    http: httpx.AsyncClient, join: Joins, route: str
) -> None:
    async with worker(whole(body=b'{"count":1}')) as fake:
        await join(fake.url)
        answer = await http.post(route, json={"prompt": "a"})
        assert (answer.status_code, answer.content) == (200, b'{"count":1}')
        await join(fake.url, MODEL, "other")
        unclear = await http.post(route, json={"prompt": "a"})
        assert (unclear.status_code, unclear.json()["error"]["param"]) == (400, "model")
        assert (await http.post(route, json={"model": "other"})).status_code == 200
        assert (await http.post(ROUTE, json={"messages": []})).status_code == 400
    assert [asked.path for asked in fake.asked] == [route, route]
