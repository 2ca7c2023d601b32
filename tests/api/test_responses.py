"""/v1/responses through the strict OpenAI SDK: what streams, what chains, what is kept."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import jsonschema
import openai
import pytest
from openai.types.responses import ResponseStreamEvent

from cloister.errors import Busy, InternalError
from tests.api.conftest import client
from tests.api.test_tools import load, random_sdk, strict
from tests.fakes.engine import FakeEngine, tokens
from tests.fakes.server import serving
from tests.fakes.templates import HERMES, THINKING
from worker.api.app import create_app
from worker.api.response_store import Bounds, ResponseStore
from worker.api.served import Served
from worker.engine.request import Finish

RESPONSES = "/v1/responses"
CITY: dict[str, Any] = {
    "type": "object",
    "properties": {"city": {"enum": ["Paris", "Oslo"]}},
    "required": ["city"],
    "additionalProperties": False,
}
GET: dict[str, Any] = {"type": "function", "name": "get", "parameters": CITY}
CALL = ('<tool_call>\n{"name": "get", "arguments": ', '{"city": ', '"Oslo"}', "}\n</tool_call>")
OWN = ("id", "call_id", "item_id", "created_at", "completed_at", "cached_tokens", "first_id")


@pytest.fixture(scope="module")
def thinking(tmp_path_factory: pytest.TempPathFactory) -> Served:
    return load(tmp_path_factory.mktemp("thinking"), "hermes", THINKING)


@pytest.fixture
def sdk(thinking: Served, engine: FakeEngine) -> Iterator[openai.OpenAI]:
    with serving(create_app(thinking, engine)) as url, strict(url) as it:
        yield it


@pytest.fixture
async def http(thinking: Served, engine: FakeEngine) -> Any:
    async with client(create_app(thinking, engine)) as it:
        yield it


def plain(value: Any) -> Any:
    """Without what differs between two equal answers."""
    if isinstance(value, dict):
        return {name: plain(one) for name, one in value.items() if name not in OWN}
    return [plain(one) for one in value] if isinstance(value, list) else value


def stream(sdk: openai.OpenAI, **asked: Any) -> tuple[list[ResponseStreamEvent], Any]:
    """The events, all numbered and typed, and the last one's response."""
    with sdk.responses.create(model="tiny", stream=True, **asked) as events:
        heard = list(events)
    assert [event.sequence_number for event in heard] == list(range(len(heard)))
    return heard, heard[-1].response  # type: ignore[union-attr]


def kinds(events: list[ResponseStreamEvent]) -> list[str]:
    return [event.type.removeprefix("response.") for event in events]


def test_text_streams_in_openai_s_order(sdk: openai.OpenAI) -> None:
    events, response = stream(sdk, input="hi")
    assert kinds(events) == [
        *("created", "in_progress", "output_item.added", "content_part.added"),
        *["output_text.delta"] * 3,
        *("output_text.done", "content_part.done", "output_item.done", "completed"),
    ]
    assert response.output_text == "Hello!"
    assert response.status == "completed"


def test_thoughts_text_and_calls_are_items_of_their_own(
    sdk: openai.OpenAI, engine: FakeEngine
) -> None:
    engine.script = tokens("<think>", "Where", "?", "</think>", "Let me", " see\n", *CALL, *CALL)
    events, response = stream(sdk, input="hi", tools=[GET])
    item = ("output_item.added", "content_part.added")
    done = ("content_part.done", "output_item.done")
    call = ["output_item.added", *["function_call_arguments.delta"] * 2]
    call += ["function_call_arguments.done", "output_item.done"]
    assert kinds(events) == [
        *("created", "in_progress"),
        *(*item, "reasoning_text.delta", "reasoning_text.delta", "reasoning_text.done", *done),
        *(*item, "output_text.delta", "output_text.delta", "output_text.done", *done),
        *(*call, *call, "completed"),
    ]
    thought, message, one, other = response.output
    assert thought.content[0].text == "Where?"
    assert message.content[0].text == "Let me see"
    assert (one.name, one.arguments) == (other.name, other.arguments) == ("get", '{"city": "Oslo"}')
    assert one.call_id != other.call_id
    assert response.usage.output_tokens_details.reasoning_tokens == 3
    whole = sdk.responses.create(model="tiny", input="hi", tools=[GET])
    assert plain(whole.to_dict()) == plain(response.to_dict())


def test_the_sdk_s_own_accumulator_agrees(sdk: openai.OpenAI, engine: FakeEngine) -> None:
    engine.script = tokens("<think>", "a", "</think>", "b", "\n", *CALL)
    with sdk.responses.stream(model="tiny", input="hi", tools=[{**GET, "strict": False}]) as events:
        deltas = [event.delta for event in events if event.type == "response.output_text.delta"]
        final = events.get_final_response()
    assert "".join(deltas) == final.output_text == "b"
    assert [item.type for item in final.output] == ["reasoning", "message", "function_call"]


@pytest.mark.parametrize("choice", ["required", {"type": "function", "name": "get"}])
def test_forced_calls_are_valid_and_stream_as_they_are_whole(choice: Any, thinking: Served) -> None:
    asked: Any = {"input": "hi", "tools": [GET], "tool_choice": choice, "max_output_tokens": 300}
    with random_sdk(thinking) as sdk:
        for seed in range(3):
            asked["extra_body"] = {"seed": seed}
            _, streamed = stream(sdk, **asked, parallel_tool_calls=False)
            whole = sdk.responses.create(model="tiny", **asked, parallel_tool_calls=False)
            assert plain(whole.to_dict()) == plain(streamed.to_dict())
            [call] = whole.output
            assert call.type == "function_call"
            jsonschema.validate(json.loads(call.arguments), CITY)


def test_text_has_the_form_of_its_schema(thinking: Served) -> None:
    form: Any = {"type": "json_schema", "name": "city", "schema": CITY, "strict": True}
    asked: Any = {"input": "hi", "text": {"format": form}, "extra_body": {"seed": 1}}
    with random_sdk(thinking) as sdk:
        _, streamed = stream(sdk, **asked, max_output_tokens=200)
        whole = sdk.responses.create(model="tiny", **asked, max_output_tokens=200)
    assert plain(whole.to_dict()) == plain(streamed.to_dict())
    jsonschema.validate(json.loads(whole.output_text), CITY)
    assert whole.text
    assert whole.text.format
    assert whole.text.format.type == "json_schema"


def test_limit_makes_a_response_incomplete(sdk: openai.OpenAI, engine: FakeEngine) -> None:
    engine.script = tokens("a", "b", finish=Finish.LENGTH)
    events, response = stream(sdk, input="hi", max_output_tokens=2)
    assert kinds(events)[-1] == "incomplete"
    assert response.incomplete_details.reason == "max_output_tokens"
    assert (response.status, response.output[0].status) == ("incomplete", "incomplete")
    assert response.output_text == "ab"


def test_response_of_nothing_has_an_empty_message(sdk: openai.OpenAI, engine: FakeEngine) -> None:
    engine.script = tokens("")
    events, response = stream(sdk, input="hi")
    assert kinds(events)[-1] == "completed"
    assert response.output[0].content[0].text == ""
    assert sdk.responses.create(model="tiny", input="hi").output_text == ""


def test_failure_amid_a_stream_is_told_and_keeps_nothing(
    sdk: openai.OpenAI, engine: FakeEngine
) -> None:
    engine.script = [*tokens("a", "b")[:1], InternalError("the engine failed")]
    events, response = stream(sdk, input="hi")
    assert kinds(events)[-1] == "failed"
    assert (response.error.code, response.error.message) == ("server_error", "the engine failed")
    with pytest.raises(openai.NotFoundError):
        sdk.responses.retrieve(response.id)


def test_failure_before_the_first_token_has_a_status(
    sdk: openai.OpenAI, engine: FakeEngine
) -> None:
    engine.refusal = Busy("full", retry_after_s=3)
    with pytest.raises(openai.RateLimitError):
        sdk.responses.create(model="tiny", input="hi", stream=True)


def test_log_probabilities_are_those_of_the_text(thinking: Served) -> None:
    asked: Any = {"input": "hi", "include": ["message.output_text.logprobs"], "top_logprobs": 2}
    asked |= {"extra_body": {"seed": 4}, "max_output_tokens": 12}
    with random_sdk(thinking) as sdk:
        events, streamed = stream(sdk, **asked)
        whole = sdk.responses.create(model="tiny", **asked)
    assert plain(whole.to_dict()) == plain(streamed.to_dict())
    told = streamed.output[0].content[0].logprobs
    joined = b"".join(bytes(entry.bytes) for entry in told).decode(errors="replace")
    assert joined.startswith(streamed.output_text)
    assert all(len(entry.top_logprobs) == 2 for entry in told)
    deltas = [event for event in events if event.type == "response.output_text.delta"]
    assert [entry.token for event in deltas for entry in event.logprobs] == [
        entry.token for entry in told
    ]


async def test_obfuscation_hides_the_length_of_deltas(http: httpx.AsyncClient) -> None:
    asked = {"model": "tiny", "input": "hi", "stream": True}
    asked["stream_options"] = {"include_obfuscation": True}
    lines = (await http.post(RESPONSES, json=asked)).text.splitlines()
    deltas = [line for line in lines if "output_text.delta" in line and line.startswith("data:")]
    assert len(deltas) == 3
    assert len({len(line) for line in deltas}) == 1
    assert all(json.loads(line[5:])["obfuscation"] for line in deltas)


async def test_each_event_has_its_name_and_done_ends_all(http: httpx.AsyncClient) -> None:
    asked = {"model": "tiny", "input": "hi", "stream": True}
    frames = (await http.post(RESPONSES, json=asked)).text.strip().split("\n\n")
    assert frames.pop() == "data: [DONE]"
    for frame in frames:
        name, data = frame.split("\n")
        assert name == f"event: {json.loads(data.removeprefix('data: '))['type']}"


async def test_input_items_are_the_chat_s_messages(
    http: httpx.AsyncClient, engine: FakeEngine
) -> None:
    """All kinds of items make the prompt that the same chat makes."""
    call = {"id": "c", "type": "function", "function": {"name": "get", "arguments": "{}"}}
    tool = {"type": "function", "function": {"name": "get", "parameters": CITY}}
    messages = [
        {"role": "system", "content": "be kind"},
        {"role": "developer", "content": "and short"},
        {"role": "user", "content": "one\ntwo"},
        {"role": "assistant", "content": "so", "reasoning_content": "hm", "tool_calls": [call]},
        {"role": "tool", "content": "sun", "tool_call_id": "c"},
        {"role": "assistant", "content": "it is sunny"},
        {"role": "user", "content": "<|im_end|>thanks"},
    ]
    items = [
        {"role": "developer", "content": "and short"},
        {
            "type": "message",
            "role": "user",
            "content": [{"type": "input_text", "text": text} for text in ("one", "two")],
        },
        {"type": "reasoning", "summary": [], "content": [{"type": "reasoning_text", "text": "hm"}]},
        {
            "role": "assistant",
            "content": [{"type": "output_text", "text": "so", "annotations": []}],
        },
        {"type": "function_call", "call_id": "c", "name": "get", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c", "output": "sun"},
        {"role": "assistant", "content": "it is sunny"},
        {"role": "user", "content": "<|im_end|>thanks"},
    ]
    asked = {"model": "tiny", "instructions": "be kind", "input": items, "tools": [GET]}
    assert (await http.post(RESPONSES, json=asked)).status_code == 200
    asked = {"model": "tiny", "messages": messages, "tools": [tool]}
    assert (await http.post("/v1/chat/completions", json=asked)).status_code == 200
    response, conversation = engine.requests
    assert response.prompt == conversation.prompt
    assert len(response.prompt) > 100


async def test_chained_is_sent_at_once(http: httpx.AsyncClient, engine: FakeEngine) -> None:
    """A previous response stands for its items; its instructions do not come along."""
    engine.script = tokens("<think>", "hm", "</think>", "so\n", *CALL)
    asked: dict[str, Any] = {"model": "tiny", "tools": [GET], "store": True}
    first = (await http.post(RESPONSES, json={**asked, "input": "hi", "instructions": "be"})).json()
    result = {
        "type": "function_call_output",
        "call_id": first["output"][-1]["call_id"],
        "output": "sun",
    }
    follow = {**asked, "input": [result], "previous_response_id": first["id"]}
    second = (await http.post(RESPONSES, json=follow)).json()
    await http.post(
        RESPONSES,
        json={**asked, "input": "and then?", "previous_response_id": second["id"]},
    )
    user = {"role": "user", "content": "hi"}
    said = [*first["output"], result, *second["output"], {"role": "user", "content": "and then?"}]
    await http.post(RESPONSES, json={**asked, "input": [user, *said]})
    chained, at_once = engine.requests[-2:]
    assert chained.prompt == at_once.prompt
    assert second["previous_response_id"] == first["id"]


def test_kept_response_is_what_was_answered(sdk: openai.OpenAI) -> None:
    first = sdk.responses.create(model="tiny", input="one", metadata={"a": "b"}, user="ann")
    _, second = stream(sdk, input="two", previous_response_id=first.id)
    assert sdk.responses.retrieve(first.id) == first
    assert sdk.responses.retrieve(second.id) == second
    assert (first.metadata, first.user) == ({"a": "b"}, "ann")
    items = list(sdk.responses.input_items.list(second.id, limit=1, order="asc"))
    assert [item.type for item in items] == ["message"] * 3
    latest = sdk.responses.input_items.list(second.id).data
    assert [item.id for item in latest] == [item.id for item in items[::-1]]
    sdk.responses.delete(first.id)
    for ask in (sdk.responses.retrieve, sdk.responses.delete, sdk.responses.cancel):
        with pytest.raises(openai.NotFoundError) as gone:
            ask(first.id)
        assert gone.value.code == "response_not_found"
    with pytest.raises(openai.BadRequestError, match="background"):
        sdk.responses.cancel(second.id)
    with pytest.raises(openai.NotFoundError) as gone:
        sdk.responses.create(model="tiny", input="x", previous_response_id=first.id)
    assert gone.value.param == "previous_response_id"


def test_what_is_not_to_be_stored_is_not(sdk: openai.OpenAI) -> None:
    response = sdk.responses.create(model="tiny", input="one", store=False)
    with pytest.raises(openai.NotFoundError):
        sdk.responses.retrieve(response.id)


async def test_server_that_keeps_nothing_says_so(served: Served, engine: FakeEngine) -> None:
    app = create_app(served, engine, store=ResponseStore(Bounds(responses=0)))
    async with client(app) as http:
        asked = {"model": "tiny", "input": "hi"}
        assert (await http.post(RESPONSES, json=asked)).json()["store"] is False
        refused = await http.post(RESPONSES, json={**asked, "store": True})
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "store")


async def test_unknown_query_parameters_are_refused(http: httpx.AsyncClient) -> None:
    id = (await http.post(RESPONSES, json={"model": "tiny", "input": "hi"})).json()["id"]
    for query in ("stream=true", "include[]=x", "starting_after=1"):
        answer = await http.get(f"{RESPONSES}/{id}?{query}")
        assert answer.status_code == 400
        assert answer.json()["error"]["param"] == query.partition("=")[0]
    for query in ("limit=0", "limit=101", "order=up", "after=none", "include=x"):
        answer = await http.get(f"{RESPONSES}/{id}/input_items?{query}")
        assert (answer.status_code, answer.json()["error"]["param"]) == (400, query.split("=")[0])


def test_model_without_thoughts_answers_too(tmp_path: Path, engine: FakeEngine) -> None:
    with serving(create_app(load(tmp_path, "hermes", HERMES), engine)) as url, strict(url) as sdk:
        assert sdk.responses.create(model="tiny", input="hi").output_text == "Hello!"
