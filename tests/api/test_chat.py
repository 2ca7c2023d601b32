"""Chat and completions over HTTP, whole and streamed."""

import json
from typing import Any

import httpx
import pytest

from cloister import sse
from tests.api.conftest import CONTEXT, chat
from tests.fakes.engine import FakeEngine, tokens
from worker.engine.request import Finish

CHAT = "/v1/chat/completions"
COMPLETIONS = "/v1/completions"


def events(body: bytes) -> list[dict[str, Any]]:
    """All events but `[DONE]`, which must be the last."""
    found = sse.Parser().feed(body)
    assert found[-1].done
    return [json.loads(event.data) for event in found[:-1]]


def deltas(body: bytes) -> list[dict[str, Any]]:
    return [event["choices"][0]["delta"] for event in events(body) if event["choices"]]


async def test_whole_answer_has_text_finish_and_usage(http: httpx.AsyncClient) -> None:
    answer = (await http.post(CHAT, json=chat())).json()
    assert answer["choices"][0]["message"] == {
        "role": "assistant",
        "content": "Hello!",
        "refusal": None,
    }
    assert answer["choices"][0]["finish_reason"] == "stop"
    prompt = len("user\nhi" + "\n" + "assistant\n") + 3  # bytes, and three control tokens
    assert answer["usage"] == {
        "prompt_tokens": prompt,
        "completion_tokens": 3,
        "total_tokens": prompt + 3,
        "prompt_tokens_details": {"cached_tokens": 0},
    }


async def test_stream_joined_is_the_whole(http: httpx.AsyncClient, engine: FakeEngine) -> None:
    engine.script = tokens("a", "", "é", '"\n\u2028', "👍", "")
    whole = (await http.post(CHAT, json=chat())).json()
    streamed = await http.post(CHAT, json=chat(stream=True))
    text = "".join(delta.get("content", "") for delta in deltas(streamed.content))
    assert text == whole["choices"][0]["message"]["content"] == 'aé"\n\u2028👍'


async def test_role_comes_once_with_the_first_text(
    http: httpx.AsyncClient, engine: FakeEngine
) -> None:
    engine.script = tokens("", "", "a", "b", "")
    body = (await http.post(CHAT, json=chat(stream=True))).content
    assert deltas(body) == [{"role": "assistant", "content": "a"}, {"content": "b"}, {}]


async def test_each_token_is_a_chunk_of_its_own(http: httpx.AsyncClient) -> None:
    body = (await http.post(CHAT, json=chat(stream=True))).content
    assert [delta.get("content") for delta in deltas(body)] == ["Hel", "lo", "!", None]


async def test_empty_answer_still_names_its_role(
    http: httpx.AsyncClient, engine: FakeEngine
) -> None:
    engine.script = tokens("")
    body = (await http.post(CHAT, json=chat(stream=True))).content
    assert deltas(body) == [{"role": "assistant", "content": ""}, {}]


async def test_one_finish_chunk_and_equal_heads(http: httpx.AsyncClient) -> None:
    found = events((await http.post(CHAT, json=chat(stream=True))).content)
    reasons = [event["choices"][0]["finish_reason"] for event in found]
    assert reasons == [None, None, None, "stop"]
    heads = {
        (event["id"], event["created"], event["model"], event["system_fingerprint"])
        for event in found
    }
    assert len(heads) == 1
    assert all("usage" not in event for event in found)


@pytest.mark.parametrize("path", [CHAT, COMPLETIONS])
async def test_usage_chunk_is_last_and_without_choice(
    path: str, http: httpx.AsyncClient, engine: FakeEngine
) -> None:
    engine.script = tokens("a", "b", finish=Finish.LENGTH, cached=5)
    options = {"stream": True, "stream_options": {"include_usage": True}}
    asked = chat(**options) if path == CHAT else {"model": "tiny", "prompt": "hi", **options}
    *others, last = events((await http.post(path, json=asked)).content)
    assert [event["usage"] for event in others] == [None] * len(others)
    assert last["choices"] == []
    assert last["usage"]["completion_tokens"] == 2
    assert last["usage"]["total_tokens"] == last["usage"]["prompt_tokens"] + 2
    assert last["usage"]["prompt_tokens_details"] == {"cached_tokens": 5}


async def test_completion_streams_texts_and_a_finish(http: httpx.AsyncClient) -> None:
    asked = {"model": "tiny", "prompt": "hi", "stream": True}
    found = [
        event["choices"][0] for event in events((await http.post(COMPLETIONS, json=asked)).content)
    ]
    assert [choice["text"] for choice in found] == ["Hel", "lo", "!", ""]
    assert [choice["finish_reason"] for choice in found] == [None, None, None, "stop"]


async def test_stream_headers_forbid_buffering(http: httpx.AsyncClient) -> None:
    headers = (await http.post(CHAT, json=chat(stream=True))).headers
    assert headers["content-type"] == "text/event-stream; charset=utf-8"
    assert headers["cache-control"] == "no-cache, no-transform"
    assert headers["x-accel-buffering"] == "no"
    assert headers["x-request-id"].startswith("req_")
    assert int(headers["openai-processing-ms"]) >= 0


async def test_sane_request_id_comes_back_and_another_does_not(http: httpx.AsyncClient) -> None:
    sane = await http.get("/health", headers={"x-request-id": "abc-1"})
    odd = await http.get("/health", headers={"x-request-id": "a b"})
    assert sane.headers["x-request-id"] == "abc-1"
    assert odd.headers["x-request-id"] != "a b"


async def test_absent_limit_is_the_rest_of_the_context(
    http: httpx.AsyncClient, engine: FakeEngine
) -> None:
    await http.post(CHAT, json=chat())
    request = engine.requests[0]
    assert len(request.prompt) + request.max_tokens == CONTEXT


async def test_absent_limit_of_a_completion_is_sixteen(
    http: httpx.AsyncClient, engine: FakeEngine
) -> None:
    await http.post(COMPLETIONS, json={"model": "tiny", "prompt": [1, 2, 3]})
    assert engine.requests[0].prompt == (1, 2, 3)
    assert engine.requests[0].max_tokens == 16


async def test_fields_reach_the_engine(http: httpx.AsyncClient, engine: FakeEngine) -> None:
    asked = chat(
        temperature=0.5,
        top_p=0.9,
        top_k=7,
        min_p=0.1,
        repetition_penalty=1.1,
        presence_penalty=-1,
        frequency_penalty=2,
        seed=-3,
        stop="END",
        stop_token_ids=[9],
        max_completion_tokens=5,
        user="u",
        metadata={"k": "v"},
        store=False,
        n=1,
        tools=[],
        logprobs=False,
        response_format={"type": "text"},
    )
    answer = await http.post(CHAT, json=asked)
    assert answer.status_code == 200
    request = engine.requests[0]
    sampling = request.sampling
    assert (sampling.temperature, sampling.top_p, sampling.top_k) == (0.5, 0.9, 7)
    assert (sampling.min_p, sampling.repetition_penalty) == (0.1, 1.1)
    assert (sampling.presence_penalty, sampling.frequency_penalty) == (-1, 2)
    assert (sampling.seed, request.stop, request.max_tokens) == (-3, ("END",), 5)
    assert 9 in request.stop_ids


async def test_requests_without_a_seed_get_different_ones(
    http: httpx.AsyncClient, engine: FakeEngine
) -> None:
    await http.post(CHAT, json=chat())
    await http.post(CHAT, json=chat())
    assert engine.requests[0].sampling.seed != engine.requests[1].sampling.seed


async def test_parts_of_a_message_are_lines(http: httpx.AsyncClient, engine: FakeEngine) -> None:
    parts = [{"type": "text", "text": "one"}, {"type": "text", "text": "two"}]
    for content in (parts, "one\ntwo"):
        asked = {"model": "tiny", "messages": [{"role": "developer", "content": content}]}
        await http.post(CHAT, json=asked)
    assert engine.requests[0].prompt == engine.requests[1].prompt


async def test_models_lists_name_and_alias(http: httpx.AsyncClient) -> None:
    listed = (await http.get("/v1/models")).json()
    assert [model["id"] for model in listed["data"]] == ["tiny", "other"]
    assert (await http.get("/v1/models/other")).json()["context_length"] == CONTEXT
    missing = await http.get("/v1/models/none/such")
    assert missing.status_code == 404
    assert missing.json()["error"]["code"] == "model_not_found"


async def test_large_body_is_tokenised_elsewhere_with_the_same_result(
    http: httpx.AsyncClient, engine: FakeEngine
) -> None:
    padded = json.dumps(chat()) + " " * 40_000
    await http.post(CHAT, content=padded)
    await http.post(CHAT, json=chat())
    assert engine.requests[0].prompt == engine.requests[1].prompt
