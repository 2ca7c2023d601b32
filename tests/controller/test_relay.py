"""A request through the controller: which worker gets it, what comes back, and what if one dies."""

import asyncio
import json
import socket
from typing import Any

import httpx
import pytest

from cloister.fleet import TENANT_HEADER, TOKEN_HEADER
from cloister.ports import free_ports
from cloister.sse import Parser
from controller.app import RELAYED
from tests.controller.conftest import TOKEN, Joins, chat, join_at, new_app
from tests.controller.workers import (
    DONE,
    Asked,
    event,
    reset,
    silent,
    stream,
    whole,
    worker,
)
from tests.fakes.server import serving

CHAT = "/v1/chat/completions"
ANSWER = event("Hel") + event("lo") + DONE


async def ask(http: httpx.AsyncClient, **more: Any) -> httpx.Response:
    return await http.post(CHAT, json=chat(**more))


def dead_url() -> str:
    return f"http://127.0.0.1:{free_ports(['127.0.0.1'])[0]}"


@pytest.mark.parametrize("path", RELAYED)
async def test_bytes_pass_unchanged_both_ways(
    http: httpx.AsyncClient, join: Joins, path: str
) -> None:
    body = b'{ "model":"tiny" ,"odd":  "\xc3\xa4\\u00e4", "n": 1.0e0 }'
    async with worker(stream(event("a"), b": ping\n\n", event("ä") + DONE)) as fake:
        await join(fake.url)
        answer = await http.post(path, content=body)
    assert answer.content == event("a") + b": ping\n\n" + event("ä") + DONE
    assert answer.headers["content-type"] == "text/event-stream"
    assert (fake.asked[0].path, fake.asked[0].body) == (path, body)


async def test_whole_answer_passes_with_its_status_and_headers(
    http: httpx.AsyncClient, join: Joins
) -> None:
    play = whole(
        400, b'{"error": 1}', x_ratelimit_remaining="3", connection="x-secret", x_secret="1"
    )
    async with worker(play) as fake:
        await join(fake.url)
        answer = await ask(http)
    assert (answer.status_code, answer.content) == (400, b'{"error": 1}')
    assert answer.headers["x-ratelimit-remaining"] == "3"
    assert "x-secret" not in answer.headers


async def test_worker_gets_its_token_the_tenant_and_the_request_id_but_no_key(
    http: httpx.AsyncClient, join: Joins
) -> None:
    async with worker(whole()) as fake:
        await join(fake.url)
        given = {
            "authorization": "Bearer sk-secret",
            "cookie": "secret=1",
            TENANT_HEADER: "forged",
            TOKEN_HEADER: "forged",
            "x-request-id": "mine",
        }
        answer = await http.post(CHAT, json=chat(), headers=given)
    headers = fake.asked[0].headers
    assert answer.headers["x-request-id"] == headers["x-request-id"] == "mine"
    assert headers[TOKEN_HEADER] == TOKEN
    assert headers[TENANT_HEADER] == ""
    assert not {"authorization", "cookie"} & set(headers)
    assert "secret" not in str(headers)


async def test_model_header_spares_reading_the_body(http: httpx.AsyncClient, join: Joins) -> None:
    async with worker(whole()) as fake:
        await join(fake.url)
        sealed = await http.post(CHAT, content=b"\x00sealed", headers={"x-cloister-model": "tiny"})
    assert sealed.status_code == 200
    assert fake.asked[0].body == b"\x00sealed"


@pytest.mark.parametrize("failing", [reset, whole(503), whole(502), whole(401), stream(cut=True)])
async def test_worker_that_fails_before_the_first_byte_is_replaced(
    http: httpx.AsyncClient, join: Joins, failing: Any
) -> None:
    async with worker(failing) as bad, worker(stream(ANSWER)) as good:
        await join(bad.url)
        await join(good.url, queued_tokens=1000)
        for _ in range(3):
            assert (await ask(http)).content == ANSWER
    assert len(bad.asked) == 1  # it is out until it beats


async def test_worker_that_cannot_be_reached_is_replaced(
    http: httpx.AsyncClient, join: Joins
) -> None:
    async with worker(stream(ANSWER)) as good:
        await join(dead_url())
        await join(good.url, queued_tokens=1000)
        assert (await ask(http)).content == ANSWER


async def test_when_all_workers_fail_there_is_none(http: httpx.AsyncClient, join: Joins) -> None:
    await join(dead_url())
    answer = await ask(http)
    assert answer.status_code == 503
    assert answer.json()["error"]["code"] == "no_worker"
    assert int(answer.headers["retry-after"]) >= 1


async def test_full_worker_is_passed_over_but_stays(http: httpx.AsyncClient, join: Joins) -> None:
    async with worker(whole(429, retry_after="9")) as full, worker(stream(ANSWER)) as good:
        await join(full.url)
        await join(good.url, queued_tokens=10_000)
        assert (await ask(http)).content == ANSWER
        assert (await http.get("/ready")).status_code == 200
    assert len(full.asked) == 1


async def test_when_all_are_full_the_shortest_wait_is_told(
    http: httpx.AsyncClient, join: Joins
) -> None:
    async with (
        worker(whole(429, retry_after="9")) as one,
        worker(whole(429, retry_after="4")) as other,
    ):
        await join(one.url)
        await join(other.url)
        answer = await ask(http)
    assert answer.status_code == 429
    assert answer.headers["retry-after"] == "4"
    assert answer.json()["error"]["type"] == "rate_limit_error"


@pytest.mark.parametrize(
    ("pieces", "texts"),
    [
        ([event("a")], 1),
        ([event("a"), event("b"), event("c")], 3),
        ([event("a"), event("b")[:20]], 1),
        ([event("a") + event("b")[:1]], 1),
        ([event("a"), event("b")[:-1]], 1),
        ([event("a")[:10]], 0),
    ],
)
async def test_stream_that_breaks_off_ends_with_an_error_event(
    http: httpx.AsyncClient, join: Joins, pieces: list[bytes], texts: int
) -> None:
    async with worker(stream(*pieces, cut=True)) as fake:
        await join(fake.url)
        answer = await ask(http)
        after = await ask(http)
    *events, last = [event.data for event in Parser().feed(answer.content)]
    assert last == "[DONE]"
    contents = [json.loads(data) for data in events]
    assert [("error" in content) for content in contents] == [False] * texts + [True]
    assert set(contents[-1]["error"]) == {"message", "type", "param", "code"}
    assert after.status_code == 503  # out at once


async def test_stream_cut_behind_done_is_complete(http: httpx.AsyncClient, join: Joins) -> None:
    async with worker(stream(ANSWER, cut=True)) as fake:
        await join(fake.url)
        assert (await ask(http)).content == ANSWER


async def test_whole_answer_that_breaks_off_is_cut(http: httpx.AsyncClient, join: Joins) -> None:
    async with worker(whole(body=b'{"half', length=100)) as fake:
        await join(fake.url)
        with pytest.raises(httpx.RemoteProtocolError):
            await ask(http)


async def test_next_request_works_after_a_worker_died(http: httpx.AsyncClient, join: Joins) -> None:
    async with worker(stream(event("a"), cut=True)) as bad, worker(stream(ANSWER)) as good:
        await join(bad.url)
        await join(good.url, queued_tokens=1000)
        assert b"worker_failed" in (await ask(http)).content
        assert (await ask(http)).content == ANSWER


@pytest.mark.parametrize("play", [silent, stream(hang=True), stream(event("a"), hang=True)])
async def test_worker_hears_when_the_client_leaves(
    url: str, http: httpx.AsyncClient, join: Joins, play: Any
) -> None:
    async with worker(play) as fake:
        await join(fake.url)
        asking = asyncio.create_task(ask(http))
        await asyncio.wait_for(fake.was_asked.wait(), 5)
        await asyncio.sleep(0.05)
        asking.cancel()
        await asyncio.wait((asking,))
        await asyncio.wait_for(fake.left.wait(), 5)
        assert (await http.get("/ready")).status_code == 200


async def test_client_that_leaves_amid_its_body_harms_nobody(
    url: str, http: httpx.AsyncClient, join: Joins
) -> None:
    async with worker(stream(ANSWER)) as fake:
        await join(fake.url)
        host, port = url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port))) as client:
            client.sendall(
                f"POST {CHAT} HTTP/1.1\r\nhost: x\r\ncontent-length: 99\r\n\r\n{{".encode()
            )
        assert (await ask(http)).content == ANSWER
    assert len(fake.asked) == 1


async def test_hundred_streams_at_once_do_not_mix(http: httpx.AsyncClient, join: Joins) -> None:
    async def echo(asked: Asked, writer: asyncio.StreamWriter) -> None:
        text = json.loads(asked.body)["messages"][0]["content"]
        await stream(*[event(f"{text}.{n}") for n in range(10)], DONE, gap_s=0.002)(asked, writer)

    async def one(text: str) -> None:
        expected = b"".join(event(f"{text}.{n}") for n in range(10)) + DONE
        assert (await ask(http, text=text)).content == expected

    async with worker(echo) as fake:
        await join(fake.url)
        await asyncio.gather(*(one(f"text {n}") for n in range(100)))


async def test_slow_client_holds_up_nobody_and_its_worker_waits(
    url: str, http: httpx.AsyncClient, join: Joins
) -> None:
    big = event("x" * 100_000)
    written = 0

    async def flood(asked: Asked, writer: asyncio.StreamWriter) -> None:
        nonlocal written
        if b"slow" not in asked.body:
            return await stream(ANSWER)(asked, writer)
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n")
        while True:
            writer.write(big)
            await writer.drain()
            written += len(big)

    async with worker(flood) as fake:
        await join(fake.url)
        async with http.stream("POST", CHAT, json=chat("slow")):
            before = -1
            while before != written:  # until everything between them is full
                before = written
                await asyncio.sleep(0.2)
            assert written < 64 * 2**20
            assert (await ask(http)).content == ANSWER
        await asyncio.wait_for(fake.left.wait(), 5)


async def test_connections_to_workers_are_kept(http: httpx.AsyncClient, join: Joins) -> None:
    async with worker(stream(ANSWER)) as fake:
        await join(fake.url)
        for _ in range(5):
            await ask(http)
    assert len(fake.writers) == 1


async def test_kept_connection_that_the_worker_closed_costs_no_request(
    http: httpx.AsyncClient, join: Joins
) -> None:
    async def once(asked: Asked, writer: asyncio.StreamWriter) -> None:
        await whole()(asked, writer)
        writer.close()

    async with worker(once) as fake:
        await join(fake.url)
        for _ in range(5):
            assert (await ask(http)).status_code == 200


async def test_answer_without_length_ends_with_its_connection(
    http: httpx.AsyncClient, join: Joins
) -> None:
    async def old(_: Asked, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.0 200 OK\r\ncontent-type: application/json\r\n\r\n{}")
        writer.close()

    async with worker(old) as fake:
        await join(fake.url)
        assert (await ask(http)).content == b"{}"


async def test_nonsense_from_a_worker_is_a_failed_worker(
    http: httpx.AsyncClient, join: Joins
) -> None:
    async def nonsense(_: Asked, writer: asyncio.StreamWriter) -> None:
        writer.write(b"this is no HTTP\r\n\r\n")

    async with worker(nonsense) as fake:
        await join(fake.url)
        assert (await ask(http)).status_code == 503


@pytest.mark.parametrize(
    ("play", "status", "code"),
    [(silent, 503, "worker_silent"), (stream(event("a"), hang=True), 200, "worker_failed")],
)
async def test_silent_worker_is_given_up(play: Any, status: int, code: str) -> None:
    with serving(new_app(first_byte_timeout_s=0.1, silence_timeout_s=0.1)) as url:
        async with httpx.AsyncClient(base_url=url) as http, worker(play) as fake:
            await join_at(http, fake.url)
            answer = await ask(http)
            await asyncio.wait_for(fake.left.wait(), 5)
    assert answer.status_code == status
    assert code in answer.text
