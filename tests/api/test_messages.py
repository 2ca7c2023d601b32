"""Answers of /v1/messages: the stream tells what the whole does, in Anthropic's events."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anthropic
import httpx
import pytest

from cloister.errors import Busy, CloisterError, InternalError, Unavailable
from cloister.sse import Parser
from tests.api.claude import CALL, ROUTE, TOOLS, asked, both, load, sdk_at, spoken
from tests.api.conftest import client
from tests.api.living import living
from tests.fakes.engine import FakeEngine, tokens
from tests.fakes.server import serving
from tests.fakes.templates import THINKING
from worker.api.app import create_app
from worker.api.served import Served
from worker.engine.request import Finish


@pytest.fixture
def served(tmp_path: Path) -> Served:
    return load(tmp_path)


@pytest.fixture
def sdk(served: Served, engine: FakeEngine) -> Iterator[anthropic.Anthropic]:
    with sdk_at(create_app(served, engine)) as sdk:
        yield sdk


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
    asks = asked(tools=TOOLS, stream=True)
    with (
        serving(create_app(served, engine, ping_s=0.01)) as url,
        httpx.stream("POST", f"{url}{ROUTE}", json=asks, timeout=20) as answer,
    ):
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
    with (
        serving(create_app(served, engine, ping_s=0.01)) as url,
        httpx.stream("POST", f"{url}{ROUTE}", json=asked(stream=True), timeout=20) as answer,
    ):
        names = (line for line in answer.iter_lines() if line.startswith("event: "))
        assert [next(names), next(names)] == ["event: message_start", "event: ping"]
        engine.push(*tokens("a"))
        assert list(names)[-1] == "event: message_stop"


@pytest.mark.parametrize(
    ("error", "kind"),
    [(Unavailable("stopping"), "overloaded_error"), (InternalError("failed"), "api_error")],
)
def test_failure_in_a_stream_is_an_error_event(
    served: Served, error: CloisterError, kind: str
) -> None:
    engine = FakeEngine(script=None)
    with sdk_at(create_app(served, engine, ping_s=0.01)) as sdk:
        stream = sdk.messages.create(**asked(stream=True))
        assert next(stream).type == "message_start"
        engine.push(*tokens("a", "b")[:1], error)
        with pytest.raises(anthropic.APIStatusError, match=kind):
            list(stream)


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
