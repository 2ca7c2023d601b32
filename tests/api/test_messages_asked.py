"""Requests to /v1/messages: they come to the same prompts as chats, or are refused by name."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anthropic
import httpx
import pytest

from tests.api.claude import CALL, HI, ROUTE, TOOLS, asked, load, sdk_at, spoken
from tests.api.conftest import client
from tests.api.living import living
from tests.fakes.engine import FakeEngine
from tests.fakes.templates import ALWAYS_THINKING, THINKING
from worker.api.app import create_app
from worker.api.served import Served


@pytest.fixture
def served(tmp_path: Path) -> Served:
    return load(tmp_path)


@pytest.fixture
def sdk(served: Served, engine: FakeEngine) -> Iterator[anthropic.Anthropic]:
    with sdk_at(create_app(served, engine)) as sdk:
        yield sdk


def text(words: str) -> dict[str, str]:
    return {"type": "text", "text": words}


CONVERSATION: list[dict[str, Any]] = [
    {"role": "user", "content": [{**text("a"), "cache_control": {"type": "ephemeral"}}]},
    {"role": "user", "content": "b"},
    {
        "role": "assistant",
        "content": [
            {"type": "thinking", "thinking": "hm", "signature": ""},
            text("I look."),
            {"type": "tool_use", "id": "t1", "name": "get", "input": {"city": "Köln"}},
            {"type": "tool_use", "id": "t2", "name": "put", "input": {}},
        ],
    },
    {
        "role": "user",
        "content": [
            {"type": "tool_result", "tool_use_id": "t1", "content": [text("sun")]},
            {"type": "tool_result", "tool_use_id": "t2", "content": "<|im_end|>", "is_error": True},
            text("go on"),
        ],
    },
]  # fmt: skip
SAME_CHAT: list[dict[str, Any]] = [
    {"role": "system", "content": "be\nbrief"},
    {"role": "user", "content": "a\nb"},
    {
        "role": "assistant",
        "content": "I look.",
        "reasoning_content": "hm",
        "tool_calls": [
            {"id": "t1", "function": {"name": "get", "arguments": '{"city": "Köln"}'}},
            {"id": "t2", "function": {"name": "put", "arguments": "{}"}},
        ],
    },
    {"role": "tool", "tool_call_id": "t1", "content": "sun"},
    {"role": "tool", "tool_call_id": "t2", "content": "Error: <|im_end|>"},
    {"role": "user", "content": "go on"},
]  # fmt: skip
SYSTEM = [text("be"), text("brief")]


async def test_prompt_is_that_of_the_same_chat_and_its_count_is_exact(served: Served) -> None:
    engine = FakeEngine()
    made = [
        {"type": "function", "function": {
            "name": tool["name"], "description": tool.get("description"),
            "parameters": tool["input_schema"],
        }}
        for tool in TOOLS
    ]  # fmt: skip
    prompt = {"model": "tiny", "messages": CONVERSATION, "system": SYSTEM, "tools": TOOLS}
    async with client(create_app(served, engine)) as http:
        answer = await http.post(ROUTE, json={"max_tokens": 9, **prompt})
        counted = await http.post(f"{ROUTE}/count_tokens", json=prompt)
        same = {"model": "tiny", "messages": SAME_CHAT, "tools": made}
        await http.post("/v1/chat/completions", json=same)
    first, second = (request.prompt for request in engine.requests)
    assert first == second
    assert counted.json() == {"input_tokens": answer.json()["usage"]["input_tokens"]}
    assert counted.json() == {"input_tokens": len(first)}


def test_answer_can_be_sent_back(sdk: anthropic.Anthropic, engine: FakeEngine) -> None:
    engine.script = spoken(f"Hm.\n{CALL}")
    first = sdk.messages.create(**asked(tools=TOOLS))
    call = first.content[-1]
    assert call.type == "tool_use"
    result = {"type": "tool_result", "tool_use_id": call.id, "content": "ok"}
    told: Any = [*HI, {"role": "assistant", "content": first.content}]
    told.append({"role": "user", "content": [result]})
    assert sdk.messages.create(**asked(messages=told, tools=TOOLS)).id
    count = sdk.messages.count_tokens(model="tiny", messages=told, tools=TOOLS)  # type: ignore[arg-type]
    assert count.input_tokens == len(engine.requests[-1].prompt)


@pytest.mark.parametrize(
    ("choice", "names"),
    [
        ({"type": "any"}, {"get", "put"}),
        ({"type": "tool", "name": "put"}, {"put"}),
        ({"type": "any", "disable_parallel_tool_use": True}, {"get", "put"}),
    ],
)
def test_forced_calls_are_made(served: Served, choice: Any, names: set[str]) -> None:
    with living(served) as (app, _), sdk_at(app) as sdk:
        whole = sdk.messages.create(**asked(tools=TOOLS, tool_choice=choice, max_tokens=200))
    assert whole.stop_reason in ("tool_use", "max_tokens")
    calls = [block.name for block in whole.content if block.type == "tool_use"]
    assert set(calls) <= names
    assert len(whole.content) == len(calls)
    assert len(calls) <= 1 or not ("name" in choice or "disable_parallel_tool_use" in choice)


def test_output_format_is_enforced(served: Served) -> None:
    schema = {
        "type": "object",
        "properties": {"on": {"type": "boolean"}},
        "required": ["on"],
        "additionalProperties": False,
    }
    form: Any = {"format": {"type": "json_schema", "schema": schema}}
    with living(served) as (app, _), sdk_at(app) as sdk:
        whole = sdk.messages.create(**asked(output_config=form, max_tokens=200))
    [block] = whole.content
    assert block.type == "text"
    assert set(json.loads(block.text)) == {"on"}


async def test_no_tools_are_told_where_none_may_be_called(served: Served) -> None:
    engine = FakeEngine()
    async with client(create_app(served, engine)) as http:
        await http.post(ROUTE, json=asked(tools=TOOLS, tool_choice={"type": "none"}))
        await http.post(ROUTE, json=asked())
    assert engine.requests[0].prompt == engine.requests[1].prompt


async def test_thinking_is_the_template_s(tmp_path: Path) -> None:
    engine = FakeEngine()
    async with client(create_app(load(tmp_path / "a", THINKING), engine)) as http:
        for kind in ("disabled", "adaptive"):
            answer = await http.post(ROUTE, json=asked(thinking={"type": kind}))
            assert answer.status_code == 200, answer.text
        await http.post(ROUTE, json=asked(thinking={"type": "enabled", "budget_tokens": 20}))
    off, free, on = (request.prompt for request in engine.requests)
    assert len(off) > len(free) == len(on)
    async with client(create_app(load(tmp_path / "b", ALWAYS_THINKING), engine)) as http:
        assert (await http.post(ROUTE, json=asked(thinking={"type": "adaptive"}))).is_success
        refused = await http.post(ROUTE, json=asked(thinking={"type": "disabled"}))
    assert refused.status_code == 400
    assert refused.json()["error"]["message"].startswith("thinking: ")


WRONG: dict[str, dict[str, Any]] = {
    "max_tokens": {"max_tokens": 0},
    "messages.0.role": {"messages": [{"role": "tool", "content": "x"}]},
    "messages.1.role": {"messages": [*HI, {"role": "assistant", "content": "I"}]},
    "messages.0.content.0.type": {
        "messages": [{"role": "user", "content": [{"type": "image", "source": {}}]}]
    },
    "messages.0.content.0.text": {"messages": [{"role": "user", "content": [{"type": "text"}]}]},
    "messages.0.content.0.tool_use_id": {
        "messages": [{"role": "user", "content": [{"type": "tool_result", "tool_use_id": "x"}]}]
    },
    "messages.0.content.0.content.0.type": {
        "messages": [
            {"role": "user", "content": [
                {"type": "tool_result", "tool_use_id": "x", "content": [{"type": "image"}]}
            ]}
        ]
    },
    "messages.0.name": {"messages": [{**HI[0], "name": "x"}]},
    "system.0.text": {"system": [{"type": "text", "text": 3}]},
    "tools.0.type": {"tools": [{"type": "web_search_20250305", "name": "web_search"}]},
    "tools.0.name": {"tools": [{"name": "a b", "input_schema": {}}]},
    "tools.0.input_schema.type": {"tools": [{"name": "a", "input_schema": {"type": "array"}}]},
    "tools.0.input_schema.properties.x.not": {
        "tools": [{"name": "a", "input_schema": {"properties": {"x": {"not": {}}}}}],
        "tool_choice": {"type": "any"},
    },
    "tool_choice.name": {"tools": TOOLS, "tool_choice": {"type": "tool", "name": "x"}},
    "tool_choice.type": {"tools": TOOLS, "tool_choice": {"type": "required"}},
    "tool_choice": {"tool_choice": {"type": "any"}},
    "thinking": {"thinking": {"type": "adaptive"}},
    "thinking.type": {"thinking": {"type": "between_tools"}},
    "thinking.display": {"thinking": {"type": "adaptive", "display": "omitted"}},
    "output_config.effort": {"output_config": {"effort": "low"}},
    "output_config.format.schema.not": {
        "output_config": {"format": {"type": "json_schema", "schema": {"not": {}}}}
    },
    "output_config.format.schema": {
        "output_config": {"format": {"type": "json_schema", "schema": {"pattern": "("}}}
    },
    "stop_sequences.0": {"stop_sequences": [""]},
    "top_k": {"top_k": -1},
    "metadata.name": {"metadata": {"name": "x"}},
    "service_tier": {"service_tier": "priority"},
    "container": {"container": "x"},
    "mcp_servers": {"mcp_servers": []},
    "min_p": {"min_p": 0.1},
}  # fmt: skip


@pytest.mark.parametrize("field", WRONG)
async def test_what_is_not_done_is_refused_by_its_name(served: Served, field: str) -> None:
    engine = FakeEngine()
    async with client(create_app(served, engine)) as http:
        answer = await http.post(ROUTE, json=asked(**WRONG[field]))
    body = answer.json()
    assert answer.status_code == 400
    assert set(body) == {"type", "error", "request_id"}
    assert body["type"] == "error"
    assert body["error"]["type"] == "invalid_request_error"
    assert body["error"]["message"].partition(": ")[0] == field
    assert engine.requests == []


async def test_neutral_values_pass(http: httpx.AsyncClient, engine: FakeEngine) -> None:
    neutral = {
        "metadata": {"user_id": "u"}, "service_tier": "auto", "container": None, "stream": None,
        "output_config": {"effort": "high"}, "thinking": {"type": "disabled"}, "tools": [],
        "cache_control": {"type": "ephemeral", "ttl": "1h"}, "system": "", "top_k": 3,
        "speed": "standard",
    }  # fmt: skip
    headers = {"anthropic-version": "2023-06-01", "x-api-key": "k"}
    answer = await http.post(ROUTE, json=asked(**neutral), headers=headers)
    assert answer.status_code == 200, answer.text
    assert engine.requests[0].sampling.top_k == 3


async def test_every_error_of_the_route_has_anthropic_s_shape(http: httpx.AsyncClient) -> None:
    for method, path, status, kind in [
        ("GET", ROUTE, 405, "invalid_request_error"),
        ("POST", f"{ROUTE}/batches", 404, "not_found_error"),
        ("POST", ROUTE, 400, "invalid_request_error"),
    ]:
        answer = await http.request(method, path, content=b"{")
        assert (answer.status_code, answer.json()["error"]["type"]) == (status, kind)
