"""What a worker reports of a request: as much as its answer told, in every ending."""

import asyncio
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from pydantic import SecretStr

from cloister.errors import Busy, CloisterError, InternalError
from cloister.fleet import PROMPT_HEADER, TENANT_HEADER, TOKEN_HEADER, USAGE_HEADER, UsageRecord
from cloister.usage import UsageLog
from tests.api.conftest import chat, client
from tests.api.test_disconnect import Client
from tests.fakes.engine import FakeEngine, tokens
from worker.api.app import create_app
from worker.api.served import Served

CHAT = "/v1/chat/completions"
TOKEN = "a token of the tests"
HEADERS = {TOKEN_HEADER: TOKEN, TENANT_HEADER: "ann", USAGE_HEADER: "id"}


@pytest.fixture
def log() -> UsageLog:
    return UsageLog()


@pytest.fixture
def app(served: Served, engine: FakeEngine, log: UsageLog) -> FastAPI:
    return create_app(served, engine, token=SecretStr(TOKEN), usage=log)


@pytest.fixture
async def http(app: FastAPI) -> Any:
    async with client(app) as it:
        it.headers.update(HEADERS)
        yield it


def counts(record: UsageRecord) -> tuple[int, int, int]:
    return record.prompt_tokens, record.cached_tokens, record.generated_tokens


@pytest.mark.parametrize("fields", [{}, {"stream": True}, {"n": 2}, {"n": 2, "stream": True}])
async def test_bill_is_the_usage_that_the_client_is_told(
    http: httpx.AsyncClient, engine: FakeEngine, log: UsageLog, fields: dict[str, Any]
) -> None:
    engine.script = tokens("a", "b", "c", cached=2)
    whole = {name: value for name, value in fields.items() if name != "stream"}
    usage = (await http.post(CHAT, json=chat(**whole))).json()["usage"]
    answer = await http.post(CHAT, json=chat(**fields))
    told = (
        usage["prompt_tokens"],
        usage["prompt_tokens_details"]["cached_tokens"],
        usage["completion_tokens"],
    )
    records = log.report().records
    assert [counts(record) for record in records] == [told, told]
    assert {(record.request, record.tenant) for record in records} == {("id", "ann")}
    assert answer.headers[PROMPT_HEADER] == str(told[0])


async def test_echo_alone_generates_nothing(http: httpx.AsyncClient, log: UsageLog) -> None:
    body = {"model": "tiny", "prompt": "abc", "max_tokens": 0, "echo": True}
    usage = (await http.post("/v1/completions", json=body)).json()["usage"]
    (record,) = log.report().records
    assert counts(record) == (usage["prompt_tokens"], 0, usage["completion_tokens"]) == (3, 0, 0)


async def test_cancelled_answer_is_billed_as_far_as_it_got(served: Served, log: UsageLog) -> None:
    engine = FakeEngine(script=tokens("a", "b", "c")[:2])
    app = create_app(served, engine, token=SecretStr(TOKEN), usage=log)
    for stream in (True, False):
        leaver = Client(app, chat(stream=stream), headers=HEADERS)
        for _ in range(100):  # until it heard both tokens: all happens in this loop
            await asyncio.sleep(0)
        leaver.left.set()
        await asyncio.wait_for(leaver.task, 20)
    assert [record.generated_tokens for record in log.report().records] == [2, 2]
    assert all(record.prompt_tokens for record in log.report().records)


@pytest.mark.parametrize("error", [Busy("full", retry_after_s=1), None])
async def test_refused_request_is_no_record(
    http: httpx.AsyncClient, engine: FakeEngine, log: UsageLog, error: CloisterError | None
) -> None:
    engine.refusal = error
    answer = await http.post(CHAT, json=chat(**({} if error else {"n": 0})))
    assert answer.status_code == (429 if error else 400)
    assert log.report().records == ()


async def test_failed_answer_is_billed_as_far_as_it_was_told(
    http: httpx.AsyncClient, engine: FakeEngine, log: UsageLog
) -> None:
    engine.script = [*tokens("a", "b", "c")[:2], InternalError("failed")]
    await http.post(CHAT, json=chat(stream=True))
    assert [record.generated_tokens for record in log.report().records] == [2]


async def test_every_answered_request_is_settled(http: httpx.AsyncClient, log: UsageLog) -> None:
    """A route that generates nothing reports that it did not."""
    await http.get("/v1/models")
    assert [counts(record) for record in log.report().records] == [(0, 0, 0)]


async def test_only_the_controller_has_records_made(
    served: Served, engine: FakeEngine, http: httpx.AsyncClient, log: UsageLog
) -> None:
    del http.headers[USAGE_HEADER]
    answer = await http.post(CHAT, json=chat())
    assert PROMPT_HEADER not in answer.headers
    open_log = UsageLog()
    async with client(create_app(served, engine, usage=open_log)) as stranger:
        assert (await stranger.post(CHAT, json=chat(), headers=HEADERS)).status_code == 200
    assert log.report().records == open_log.report().records == ()
