"""The stock OpenAI SDK, validating strictly, against a real server."""

import socket
from collections.abc import Iterator

import httpx
import openai
import pytest
from fastapi import FastAPI
from openai.lib.streaming.chat import ChatCompletionStreamState

from cloister.errors import Busy, InternalError
from tests.api.conftest import CONTEXT
from tests.fakes.engine import FakeEngine, tokens
from tests.fakes.server import serving
from worker.api.answer import Patience
from worker.api.app import create_app
from worker.api.served import Served

HI = [{"role": "user", "content": "hi"}]


@pytest.fixture
def url(app: FastAPI) -> Iterator[str]:
    with serving(app) as address:
        yield address


@pytest.fixture
def sdk(url: str) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(
        base_url=f"{url}/v1", api_key="k", max_retries=0, _strict_response_validation=True
    ) as client:
        yield client


def test_chat_whole_and_streamed_are_equal(sdk: openai.OpenAI, engine: FakeEngine) -> None:
    engine.script = tokens("H", "é", "", "👍", " end", cached=2)
    whole = sdk.chat.completions.create(model="tiny", messages=HI)
    state = ChatCompletionStreamState()
    options = {"include_usage": True}
    with sdk.chat.completions.create(
        model="tiny", messages=HI, stream=True, stream_options=options
    ) as stream:
        for chunk in stream:
            state.handle_chunk(chunk)
    joined = state.get_final_completion()
    assert joined.choices[0].message.content == whole.choices[0].message.content == "Hé👍 end"
    assert joined.choices[0].message.role == "assistant"
    assert joined.choices[0].finish_reason == whole.choices[0].finish_reason == "stop"
    assert joined.usage == whole.usage
    assert joined.system_fingerprint == whole.system_fingerprint
    assert whole._request_id


def test_completion_whole_and_streamed_are_equal(sdk: openai.OpenAI) -> None:
    whole = sdk.completions.create(model="tiny", prompt="hi")
    # OpenAI's streams say `"finish_reason": null` until the end, which its SDK's type forgets.
    loose = openai.OpenAI(base_url=sdk.base_url, api_key="k", http_client=sdk._client)
    stream = loose.completions.create(model="tiny", prompt="hi", stream=True)
    assert "".join(chunk.choices[0].text for chunk in stream) == whole.choices[0].text == "Hello!"


def test_models(sdk: openai.OpenAI) -> None:
    assert [model.id for model in sdk.models.list()] == ["tiny", "other"]
    assert sdk.models.retrieve("tiny").object == "model"
    with pytest.raises(openai.NotFoundError):
        sdk.models.retrieve("gpt")


def test_errors_are_the_sdk_s_classes(sdk: openai.OpenAI, engine: FakeEngine) -> None:
    with pytest.raises(openai.BadRequestError) as wrong:
        sdk.chat.completions.create(model="tiny", messages=HI, temperature=3)
    assert wrong.value.param == "temperature"
    assert wrong.value.request_id
    engine.refusal = Busy("full", retry_after_s=3)
    with pytest.raises(openai.RateLimitError) as full:
        sdk.chat.completions.create(model="tiny", messages=HI, stream=True)
    assert full.value.response.headers["retry-after"] == "3"


def test_engine_error_in_a_stream_raises(sdk: openai.OpenAI, engine: FakeEngine) -> None:
    engine.script = [*tokens("a", "b")[:1], InternalError("the engine failed")]
    stream = sdk.chat.completions.create(model="tiny", messages=HI, stream=True)
    assert next(stream).choices[0].delta.content == "a"
    with pytest.raises(openai.APIError, match="the engine failed"):
        next(stream)


def test_pings_do_not_disturb_the_sdk(served: Served) -> None:
    engine = FakeEngine(script=None)
    with serving(create_app(served, engine, patience=Patience(ping_s=0.01))) as url:
        raw = socket.create_connection(url.removeprefix("http://").split(":"))
        with (
            raw,
            raw.makefile("rb") as lines,
            openai.OpenAI(base_url=f"{url}/v1", api_key="k") as sdk,
        ):
            body = b'{"model":"tiny","stream":true,"messages":[{"role":"user","content":"hi"}]}'
            raw.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nhost: w\r\n")
            raw.sendall(b"content-length: %d\r\n\r\n" % len(body) + body)
            assert any(line == b": ping\n" for line in lines)
            stream = sdk.chat.completions.create(model="tiny", messages=HI, stream=True)
            engine.push(*tokens("a", "b"))  # behind a ping, since the headers are here
            assert [chunk.choices[0].delta.content for chunk in stream] == ["a", "b", None]


def test_fifty_megabytes_are_refused_over_a_socket(url: str) -> None:
    def pieces() -> Iterator[bytes]:
        for _ in range(50):
            yield b" " * 1_000_000

    for content in (b" " * 50_000_000, pieces()):
        answer = httpx.post(f"{url}/v1/chat/completions", content=content, timeout=30)
        assert answer.status_code == 413
        assert answer.json()["error"]["code"] == "request_too_large"


def test_context_is_published(url: str) -> None:
    assert httpx.get(f"{url}/v1/models/tiny").json()["context_length"] == CONTEXT
