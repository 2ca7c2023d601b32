"""Limits and counts through the whole controller: enforced, released in every ending, exact."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from cloister.fleet import BEAT_PATH, TENANT_HEADER, TOKEN_HEADER, USAGE_HEADER, Beat, UsageReport
from cloister.usage import UsageLog
from controller.keys import KeyTable, Kind, Limits
from tests.controller.conftest import TOKEN, bearer, chat, join_at, new_app, new_store, state
from tests.controller.workers import (
    DONE,
    HEAD,
    Asked,
    FakeWorker,
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


class House:
    """A controller with the keys of an admin and of Ann, who has limits."""

    http: httpx.AsyncClient

    def __init__(self, limits: Limits) -> None:
        self.store = new_store()
        self.table = KeyTable(self.store)
        self.ann = bearer(self.table.create("ann", limits=limits))
        self.admin = bearer(self.table.create("root", kind=Kind.ADMIN))

    async def ask(self, **more: Any) -> httpx.Response:
        return await self.http.post(CHAT, json=chat(**more), headers=self.ann)

    async def usage(self) -> tuple[int, int, int]:
        """Ann's requests, prompt tokens and generated tokens."""
        answer = await self.http.get("/admin/usage", headers=self.admin)
        ann = next(one for one in answer.json()["data"] if one["name"] == "ann")
        return ann["requests"], ann["prompt_tokens"], ann["generated_tokens"]

    async def join(self, fake: FakeWorker) -> str:
        return str((await join_at(self.http, fake.url))["member"])

    async def beat(self, member: str, usage: UsageReport) -> int:
        beat = Beat(member=member, state=state(), usage=usage).model_dump_json()
        answer = await self.http.post(BEAT_PATH, content=beat, headers={TOKEN_HEADER: TOKEN})
        return int(answer.json()["counted"])


@pytest.fixture
def limits() -> Limits:
    return Limits()


@pytest.fixture
async def house(limits: Limits) -> AsyncIterator[House]:
    house = House(limits)
    with serving(new_app(house.store)) as url:
        async with httpx.AsyncClient(base_url=url, timeout=20) as house.http:
            yield house


def record(log: UsageLog, asked: Asked, prompt: int, generated: int) -> UsageReport:
    log.add(
        asked.headers[USAGE_HEADER],
        asked.headers[TENANT_HEADER],
        prompt_tokens=prompt,
        cached_tokens=0,
        generated_tokens=generated,
    )
    return log.report()


@pytest.mark.parametrize("limits", [Limits(requests_per_minute=2)])
async def test_requests_above_the_rate_get_openai_s_429(house: House) -> None:
    async with worker(stream(ANSWER)) as fake:
        await house.join(fake)
        answers = [await house.ask() for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    left = [answer.headers["x-ratelimit-remaining-requests"] for answer in answers]
    assert left == ["1", "0", "0"]
    refused = answers[-1]
    error = refused.json()["error"]
    assert (error["type"], error["code"]) == ("requests", "rate_limit_exceeded")
    assert 1 <= int(refused.headers["retry-after"]) <= 30
    assert int(refused.headers["retry-after-ms"]) <= 30_000
    assert len(fake.asked) == 2


@pytest.mark.parametrize("limits", [Limits(requests_per_minute=9)])
async def test_what_is_left_stands_on_every_answer(house: House) -> None:
    for path in ("/v1/models", "/v1/models/none", "/v1/none", "/metrics"):
        answer = await house.http.get(path, headers=house.ann)
        assert answer.headers["x-ratelimit-remaining-requests"] == "9", path
    assert "x-ratelimit-limit-tokens" not in answer.headers
    assert (await house.ask()).headers["x-ratelimit-limit-requests"] == "9"  # there is no worker


@pytest.mark.parametrize("limits", [Limits(tokens_per_minute=1000)])
async def test_tokens_are_taken_at_the_start_and_settled_by_the_record(house: House) -> None:
    async with worker(stream(ANSWER)) as fake:
        member, log = await house.join(fake), UsageLog()
        first = await house.ask(max_tokens=300, n=3)
        assert int(first.headers["x-ratelimit-remaining-tokens"]) < 100
        refused = await house.ask(max_tokens=300)
        assert (refused.status_code, refused.json()["error"]["type"]) == (429, "tokens")
        never = await house.ask(max_completion_tokens=2000)
        assert (never.status_code, never.headers["x-should-retry"]) == (429, "false")
        assert "retry-after" not in never.headers
        assert await house.beat(member, record(log, fake.asked[0], 10, 20)) == 1
        after = await house.ask(max_tokens=300)
    assert after.status_code == 200
    assert 600 < int(after.headers["x-ratelimit-remaining-tokens"]) < 700
    assert await house.usage() == (1, 10, 20)


@pytest.mark.parametrize("limits", [Limits(tokens_per_minute=1000)])
@pytest.mark.parametrize("play", [whole(400), whole(429), reset])
async def test_request_that_no_worker_answered_costs_no_tokens(house: House, play: Any) -> None:
    async with worker(play) as fake:
        await house.join(fake)
        assert (await house.ask(max_tokens=900)).status_code in (400, 429, 503)
    answer = await house.http.get("/v1/models", headers=house.ann)
    assert answer.headers["x-ratelimit-remaining-tokens"] == "1000"


@pytest.mark.parametrize("limits", [Limits(parallel_requests=1)])
async def test_parallel_requests_are_counted_through_the_whole_stream(house: House) -> None:
    goes_on = asyncio.Event()

    async def play(_: Asked, writer: asyncio.StreamWriter) -> None:
        writer.write(HEAD + b"%x\r\n%b\r\n" % (len(event("a")), event("a")))
        await goes_on.wait()
        writer.write(b"%x\r\n%b\r\n0\r\n\r\n" % (len(DONE), DONE))

    async with worker(play) as fake:
        await house.join(fake)
        async with house.http.stream("POST", CHAT, json=chat(), headers=house.ann) as answer:
            pieces = answer.aiter_raw()
            await anext(pieces)
            refused = await house.ask()
            assert (refused.status_code, "parallel" in refused.text) == (429, True)
            goes_on.set()
            async for _ in pieces:
                pass
        assert (await house.ask()).status_code == 200


@pytest.mark.parametrize("limits", [Limits(parallel_requests=1)])
@pytest.mark.parametrize(
    "play",
    [
        stream(ANSWER),
        stream(event("a"), cut=True),
        whole(400),
        whole(429),
        whole(503),
        whole(body=b'{"half', length=100),
        reset,
    ],
)
async def test_place_is_free_after_every_ending(house: House, play: Any) -> None:
    async with worker(play) as fake:
        await house.join(fake)
        for _ in range(2):
            try:
                answer = await house.ask()
            except httpx.RemoteProtocolError:
                continue
            assert "parallel" not in answer.text


@pytest.mark.parametrize("limits", [Limits(parallel_requests=1)])
@pytest.mark.parametrize("play", [silent, stream(event("a"), hang=True)])
async def test_place_is_free_when_the_client_leaves(house: House, play: Any) -> None:
    async with worker(play) as fake:
        await house.join(fake)
        asking = asyncio.create_task(house.ask())
        await asyncio.wait_for(fake.was_asked.wait(), 20)
        asking.cancel()
        await asyncio.wait((asking,))
        await asyncio.wait_for(fake.left.wait(), 20)
        fake.was_asked.clear()
        again = asyncio.create_task(house.ask())
        await asyncio.wait_for(fake.was_asked.wait(), 20)  # the worker gets it: nothing refused it
        again.cancel()
        await asyncio.wait((again,))


async def test_killed_worker_s_tokens_are_those_relayed_until_it_tells_better(
    house: House,
) -> None:
    async def dies(asked: Asked, writer: asyncio.StreamWriter) -> None:
        head = HEAD[:-2] + b"x-cloister-prompt-tokens: 7\r\n\r\n"
        pieces = (event("a"), b": ping\n\n", event("b"), event("c"), event("d")[:9])
        writer.write(head + b"".join(b"%x\r\n%b\r\n" % (len(one), one) for one in pieces))
        await writer.drain()
        writer.close()

    async with worker(dies) as fake:
        member = await house.join(fake)
        answer = await house.ask()
        assert "worker_failed" in answer.text
        assert "x-cloister-prompt-tokens" not in answer.headers
        assert await house.usage() == (1, 7, 3)
        # It was the network: the worker lives, and had generated four.
        await house.beat(member, record(UsageLog(), fake.asked[0], 7, 4))
    assert await house.usage() == (1, 7, 4)


async def test_record_without_a_relayed_request_counts_once_too(house: House) -> None:
    """As after a restart of the controller, or when a beat comes twice."""
    async with worker(stream(ANSWER)) as fake:
        member = await house.join(fake)
        await house.ask()
        report = record(UsageLog(), fake.asked[0], 5, 2)
        for _ in range(2):
            assert await house.beat(member, report) == 1
    assert await house.usage() == (1, 5, 2)


async def test_days_of_usage_are_checked(house: House) -> None:
    later = await house.http.get("/admin/usage?since=2999-01-01", headers=house.admin)
    assert all(one["requests"] == 0 for one in later.json()["data"])
    wrong = await house.http.get("/admin/usage?since=soon", headers=house.admin)
    assert (wrong.status_code, wrong.json()["error"]["param"]) == (400, "since")


async def test_revoked_key_is_out_as_soon_as_the_file_is_looked_at(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("controller.keys.LOOK_EVERY_S", 0)
    assert (await house.http.get("/v1/models", headers=house.ann)).status_code == 200
    house.table.revoke("ann")
    assert (await house.http.get("/v1/models", headers=house.ann)).status_code == 401
