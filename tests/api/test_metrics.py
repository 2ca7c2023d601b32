"""What is counted, and that no label names a request."""

import asyncio
import re

import httpx
from fastapi import FastAPI
from prometheus_client.parser import text_string_to_metric_families

from cloister.errors import InternalError
from tests.api.conftest import chat
from tests.api.test_disconnect import Client
from tests.fakes.engine import FakeEngine, tokens
from worker.api.aliases import NAMES
from worker.engine.request import Load

CHAT = "/v1/chat/completions"


async def scrape(http: httpx.AsyncClient) -> dict[str, float]:
    text = (await http.get("/metrics")).text
    pairs = [line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#")]
    return {name: float(value) for name, value in pairs}


async def test_tokens_are_counted_exactly(http: httpx.AsyncClient, engine: FakeEngine) -> None:
    engine.script = tokens("a", "b", "c", cached=4)
    await http.post(CHAT, json=chat())
    await http.post(CHAT, json=chat(stream=True))
    found = await scrape(http)
    assert found["cloister_prompt_tokens_total"] == 2 * len(engine.requests[0].prompt)
    assert found["cloister_cached_tokens_total"] == 8
    assert found["cloister_generated_tokens_total"] == 6
    assert found['cloister_finished_total{reason="stop"}'] == 2
    assert found["cloister_time_to_first_token_seconds_count"] == 2
    assert found["cloister_inter_token_seconds_count"] == 4
    assert found["cloister_request_seconds_count"] == 2


async def test_requests_are_counted_by_status(http: httpx.AsyncClient) -> None:
    await http.post(CHAT, json=chat())
    await http.post(CHAT, json=chat(n=0))
    await http.get("/some/path/of/a/scanner")
    found = await scrape(http)
    assert found[f'cloister_requests_total{{route="{CHAT}",status="200"}}'] == 1
    assert found[f'cloister_requests_total{{route="{CHAT}",status="400"}}'] == 1
    assert found['cloister_requests_total{route="other",status="404"}'] == 1


async def test_errors_and_leaving_are_counted(
    app: FastAPI, http: httpx.AsyncClient, engine: FakeEngine
) -> None:
    engine.script = [InternalError("failed")]
    await http.post(CHAT, json=chat())
    engine.script = None
    leaver = Client(app, chat())
    leaver.left.set()
    await asyncio.wait_for(leaver.task, 5)
    found = await scrape(http)
    assert found['cloister_finished_total{reason="error"}'] == 1
    assert found['cloister_finished_total{reason="cancelled"}'] == 1
    assert found[f'cloister_requests_total{{route="{CHAT}",status="left"}}'] == 1


async def test_load_is_the_engine_s(http: httpx.AsyncClient, engine: FakeEngine) -> None:
    engine.numbers = Load(3, 2, 40, 50, 12.5, 7, 100)
    found = await scrape(http)
    assert found["cloister_queued_requests"] == 3
    assert found["cloister_running_requests"] == 2
    assert found["cloister_tokens_per_second"] == 12.5
    assert (found["cloister_pages_used"], found["cloister_pages"]) == (7, 100)


async def test_labels_are_a_closed_set(http: httpx.AsyncClient) -> None:
    await http.post(CHAT, json=chat(user="canary"), headers={"x-cloister-tenant": "canary"})
    await http.get("/v1/models/canary")
    await http.get("/canary")
    text = (await http.get("/metrics")).text
    assert "canary" not in text
    own = {"route", "status", "reason", "le"}
    assert set(re.findall(r"(\w+)=", text)) <= own | {"finished_reason", "model_name", "engine"}


async def test_vllm_s_names_tell_the_same(http: httpx.AsyncClient, engine: FakeEngine) -> None:
    engine.script = tokens("a", "b", "c", cached=4)
    engine.numbers = Load(3, 2, 40, 50, 12.5, 25, 100)
    await http.post(CHAT, json=chat())
    found = await scrape(http)
    labels = '{engine="0",model_name="tiny"}'
    expected = {
        "num_requests_running": 2,
        "num_requests_waiting": 3,
        "kv_cache_usage_perc": 0.25,
        "prompt_tokens_total": len(engine.requests[0].prompt),
        "prefix_cache_queries_total": len(engine.requests[0].prompt),
        "prefix_cache_hits_total": 4,
        "generation_tokens_total": 3,
        "time_to_first_token_seconds_count": 1,
        "inter_token_latency_seconds_count": 2,
        "e2e_request_latency_seconds_count": 1,
    }
    assert {name: found[f"vllm:{name}{labels}"] for name in expected} == expected
    success = 'vllm:request_success_total{engine="0",finished_reason="stop",model_name="tiny"}'
    assert found[success] == 1


async def test_prometheus_can_read_it_all(http: httpx.AsyncClient, engine: FakeEngine) -> None:
    await http.post(CHAT, json=chat())
    families = list(text_string_to_metric_families((await http.get("/metrics")).text))
    names = [family.name for family in families]
    assert len(names) == len(set(names))
    assert {name for both in NAMES.values() for name in both} <= set(names)
