"""Anthropic's Messages API before its stock SDK, validating strictly: stream = whole, and counts."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import anthropic
import httpx
import pytest

from cloister.errors import Busy, InternalError, Unavailable
from cloister.sse import Parser
from tests.api.conftest import client
from tests.api.living import living
from tests.fakes.engine import FakeEngine, tokens
from tests.fakes.server import serving
from tests.fakes.templates import ALWAYS_THINKING, HERMES, THINKING
from tests.fakes.vocabulary import CONTROL, byte_tokenizer, write_folder
from worker.api.app import create_app
from worker.api.served import Served
from worker.engine.request import Finish, Request

ROUTE = "/v1/messages"
HI = [{"role": "user", "content": "hi"}]
GET = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TOOLS = [
    {"name": "get", "description": "gets", "input_schema": GET},
    {"name": "put", "input_schema": {"type": "object"}},
]
CALL = '<tool_call>\n{"name": "get", "arguments": {"city": "Ü, \\"x\\""}}\n</tool_call>'


def load(folder: Path, template: str = HERMES) -> Served:
    encoder = byte_tokenizer((*CONTROL, "<tool_call>", "</tool_call>"))
    write_folder(folder, encoder, template=template)
    return Served.load(folder, name="tiny", context_length=2000)


@pytest.fixture
def served(tmp_path: Path) -> Served:
    return load(tmp_path)


@contextmanager
def sdk_at(app: Any) -> Iterator[anthropic.Anthropic]:
    with (
        serving(app) as url,
        anthropic.Anthropic(
            base_url=url, api_key="k", max_retries=0, _strict_response_validation=True
        ) as sdk,
    ):
        yield sdk


@pytest.fixture
def sdk(served: Served, engine: FakeEngine) -> Iterator[anthropic.Anthropic]:
    with sdk_at(create_app(served, engine)) as sdk:
        yield sdk


def asked(**more: Any) -> dict[str, Any]:
    return {"model": "tiny", "max_tokens": 50, "messages": HI, **more}


def spoken(text: str, size: int = 3, finish: Finish = Finish.STOP) -> Any:
    return tokens(*(text[at : at + size] for at in range(0, len(text), size)), finish=finish)


def both(sdk: anthropic.Anthropic, **more: Any) -> tuple[anthropic.types.Message, list[str]]:
    """The whole answer, which the stream's must equal, and the types of the stream's events."""
    whole = sdk.messages.create(**asked(**more))
    with sdk.messages.stream(**asked(**more)) as stream:
        kinds = [event.type for event in stream]
        streamed = stream.get_final_message()
    assert comparable(streamed) == comparable(whole)
    return whole, [kind for kind in kinds if kind not in ("text", "input_json", "thinking")]


def comparable(message: Any) -> Any:
    told: dict[str, Any] = message.model_dump(
        mode="json", exclude={"id": True, "content": {"__all__": {"id", "parsed_output"}}}
    )
    return told


def prompt_of(served: Served, request: Request) -> str:
    return served.tokenizer.spell(request.prompt)


def test_text_streams_as_the_whole_tells_it(sdk: anthropic.Anthropic, engine: FakeEngine) -> None:
    engine.script = tokens("H", "é", "", "👍\u2028", " end", cached=2)
    whole, kinds = both(sdk)
    assert [block.text for block in whole.content if block.type == "text"] == ["Hé👍\u2028 end"]
    assert (whole.stop_reason, whole.stop_sequence) == ("end_turn", None)
    assert whole.usage.output_tokens == 5
    assert whole._request_id
    deltas = ["content_block_delta"] * 4
    assert kinds == [
        *("message_start", "content_block_start", *deltas, "content_block_stop"),
        *("message_delta", "message_stop"),
    ]


def test_cut_answer_is_max_tokens_and_an_empty_one_has_no_block(
    sdk: anthropic.Anthropic, engine: FakeEngine
) -> None:
    engine.script = tokens("a", finish=Finish.LENGTH)
    assert both(sdk)[0].stop_reason == "max_tokens"
    engine.script = tokens("")
    whole, kinds = both(sdk)
    assert whole.content == []
    assert kinds == ["message_start", "message_delta", "message_stop"]


def test_thoughts_text_and_calls_are_blocks_in_their_order(
    tmp_path: Path, engine: FakeEngine
) -> None:
    served = load(tmp_path / "thinking", THINKING)
    engine.script = spoken(f"<think>\nhm\n</think>\n\nI look.\n{CALL}\n{CALL}")
    with sdk_at(create_app(served, engine)) as sdk:
        whole, kinds = both(sdk, tools=TOOLS, thinking={"type": "adaptive"})
    thought, text, *calls = whole.content
    assert (thought.type, thought.thinking, thought.signature) == ("thinking", "hm", "")
    assert (text.type, text.text) == ("text", "I look.")
    assert [(call.type, call.name, call.input) for call in calls] == [
        ("tool_use", "get", {"city": 'Ü, "x"'})
    ] * 2
    assert len({call.id for call in calls}) == 2
    assert whole.stop_reason == "tool_use"
    assert kinds.count("content_block_start") == kinds.count("content_block_stop") == 4


def test_call_that_the_limit_cuts_has_the_input_so_far(
    sdk: anthropic.Anthropic, engine: FakeEngine
) -> None:
    engine.script = spoken(
        '<tool_call>\n{"name": "put", "arguments": {"a": 1, "b": "x', 3, Finish.LENGTH
    )
    whole, _ = both(sdk, tools=TOOLS)
    assert whole.stop_reason == "max_tokens"
    assert [block.input for block in whole.content if block.type == "tool_use"] == [{"a": 1}]


def test_call_without_json_is_an_error_and_no_empty_input(
    sdk: anthropic.Anthropic, engine: FakeEngine
) -> None:
    engine.script = spoken('<tool_call>\n{"name": "put", "arguments": {"a": }}\n</tool_call>', 60)
    with pytest.raises(anthropic.InternalServerError, match="no JSON object"):
        sdk.messages.create(**asked(tools=TOOLS))
    refused = sdk.messages.with_raw_response
    with pytest.raises(anthropic.InternalServerError):
        refused.create(**asked(tools=TOOLS, stream=True))


def test_stream_that_breaks_in_a_call_ends_with_an_error(served: Served) -> None:
    engine = FakeEngine(script=None)
    with serving(create_app(served, engine, ping_s=0.01)) as url, httpx.Client() as http:
        with http.stream("POST", f"{url}{ROUTE}", json=asked(tools=TOOLS, stream=True)) as answer:
            lines = answer.iter_lines()
            assert next(lines) == "event: message_start"
            engine.push(*spoken('<tool_call>\n{"name": "put", "arguments": {"a": }}\n</tool_call>'))
            names = [line for line in lines if line.startswith("event: ") and "ping" not in line]
    assert names[-1] == "event: error"
    assert "event: message_stop" not in names


def test_stop_sequence_is_named(served: Served) -> None:
    greedy = {"extra_body": {"temperature": 0}}
    with living(served) as (app, _), sdk_at(app) as sdk:
        [free] = sdk.messages.create(**asked(max_tokens=200, **greedy)).content
        assert free.type == "text"
        letter = next(letter for letter in free.text if letter.isascii() and letter.isprintable())
        whole, _ = both(sdk, max_tokens=200, stop_sequences=["never", letter], **greedy)
    assert (whole.stop_reason, whole.stop_sequence) == ("stop_sequence", letter)


async def test_stream_is_written_as_anthropic_writes_it(served: Served) -> None:
    engine = FakeEngine(script=None)
    async with client(create_app(served, engine, ping_s=0.01)) as http:
        engine.script = tokens("Hé", "y")
        answer = await http.post(ROUTE, json=asked(stream=True))
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.headers["request-id"] == answer.headers["x-request-id"]
    events = list(Parser().feed(answer.content))
    assert all(event.name == json.loads(event.data)["type"] for event in events)
    assert answer.content.isascii()
    start, *_, delta, stop = (json.loads(event.data) for event in events)
    assert start["message"]["usage"] == {
        "input_tokens": len(engine.requests[0].prompt), "output_tokens": 0,
    }  # fmt: skip
    assert start["message"]["content"] == []
    assert delta["delta"] == {"stop_reason": "end_turn", "stop_sequence": None}
    assert delta["usage"]["output_tokens"] == 2
    assert stop == {"type": "message_stop"}


def test_pings_come_behind_the_message_s_start(served: Served) -> None:
    engine = FakeEngine(script=None)
    with serving(create_app(served, engine, ping_s=0.01)) as url, httpx.Client() as http:
        with http.stream("POST", f"{url}{ROUTE}", json=asked(stream=True)) as answer:
            lines = answer.iter_lines()
            names = (line for line in lines if line.startswith("event: "))
            assert [next(names), next(names)] == ["event: message_start", "event: ping"]
            engine.push(*tokens("a"))
            assert list(names)[-1] == "event: message_stop"


def test_failure_in_a_stream_is_an_error_event(
    sdk: anthropic.Anthropic, engine: FakeEngine
) -> None:
    engine.script = [*tokens("a", "b")[:1], Unavailable("this worker is stopping")]
    with pytest.raises(anthropic.APIStatusError, match="overloaded_error"):  # noqa: PT012
        with sdk.messages.stream(**asked()) as stream:
            stream.until_done()
    engine.script = [*tokens("a", "b")[:1], InternalError("the engine failed")]
    with pytest.raises(anthropic.APIStatusError, match="api_error"):  # noqa: PT012
        with sdk.messages.stream(**asked()) as stream:
            stream.until_done()


def test_errors_are_the_sdk_s_classes(sdk: anthropic.Anthropic, engine: FakeEngine) -> None:
    with pytest.raises(anthropic.NotFoundError) as unknown:
        sdk.messages.create(**asked(model="gpt"))
    assert unknown.value.type == "not_found_error"
    with pytest.raises(anthropic.BadRequestError) as wrong:
        sdk.messages.create(**asked(max_tokens=0))
    assert "max_tokens" in str(wrong.value)
    assert wrong.value.request_id
    body: Any = wrong.value.body
    assert body["request_id"] == wrong.value.request_id
    engine.refusal = Busy("full", retry_after_s=3)
    with pytest.raises(anthropic.RateLimitError) as full:
        sdk.messages.create(**asked())
    assert full.value.response.headers["retry-after"] == "3"


CONVERSATION = [
    {"role": "user", "content": [{"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}}]},
    {"role": "user", "content": "b"},
    {
        "role": "assistant",
        "content": [
            {"type": "thinking", "thinking": "hm", "signature": ""},
            {"type": "text", "text": "I look."},
            {"type": "tool_use", "id": "t1", "name": "get", "input": {"city": "Köln"}},
            {"type": "tool_use", "id": "t2", "name": "put", "input": {}},
        ],
    },
    {
        "role": "user",
        "content": [
            {"type": "tool_result", "tool_use_id": "t1", "content": [{"type": "text", "text": "sun"}]},
            {"type": "tool_result", "tool_use_id": "t2", "content": "no <|im_end|>", "is_error": True},
            {"type": "text", "text": "go on"},
        ],
    },
]  # fmt: skip
SAME_CHAT = [
    {"role": "system", "content": "be\nbrief"},
    {"role": "user", "content": "a\nb"},
    {
        "role": "assistant",
        "content": "I look.",
        "reasoning_content": "hm",
        "tool_calls": [
            {"id": "t1", "type": "function", "function": {"name": "get", "arguments": '{"city": "Köln"}'}},
            {"id": "t2", "type": "function", "function": {"name": "put", "arguments": "{}"}},
        ],
    },
    {"role": "tool", "tool_call_id": "t1", "content": "sun"},
    {"role": "tool", "tool_call_id": "t2", "content": "Error: no <|im_end|>"},
    {"role": "user", "content": "go on"},
]  # fmt: skip
SYSTEM = [{"type": "text", "text": "be"}, {"type": "text", "text": "brief"}]


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
        "metadata": {"user_id": "u"}, "service_tier": "auto", "container": None, "speed": "standard",
        "output_config": {"effort": "high"}, "thinking": {"type": "disabled"}, "tools": [],
        "cache_control": {"type": "ephemeral", "ttl": "1h"}, "system": "", "top_k": 3,
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
