"""Every bad input gets a clear answer: status, message, `param` and `code`."""

import json
from typing import Any

import httpx
import pytest
from pydantic import SecretStr, ValidationError

from cloister.errors import Busy, InternalError, Unavailable
from cloister.wire.chat import ChatRequest
from cloister.wire.completion import CompletionRequest
from tests.api.conftest import CONTEXT, chat, client
from tests.fakes.engine import FakeEngine, tokens
from tests.fakes.vocabulary import write_folder
from worker.api.app import create_app
from worker.api.served import Served

CHAT = "/v1/chat/completions"
COMPLETIONS = "/v1/completions"


def messages(*given: Any) -> dict[str, Any]:
    return {"model": "tiny", "messages": list(given)}


def error_of(answer: httpx.Response, status: int = 400) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    error = answer.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    return dict(error)


USER = {"role": "user", "content": "hi"}

WRONG = {
    "model missing": ({"messages": [USER]}, "model", "required"),
    "model of wrong type": ({"model": 5, "messages": [USER]}, "model", "string"),
    "no messages": ({"model": "tiny"}, "messages", "required"),
    "empty messages": (messages(), "messages", "empty"),
    "messages of wrong type": ({"model": "tiny", "messages": "hi"}, "messages", "list"),
    "message of wrong type": (messages("hi"), "messages[0]", "object"),
    "message without role": (messages({"content": "hi"}), "messages[0]", "role"),
    "unknown role": (messages({"role": "usr", "content": ""}), "messages[0].role", "assistant"),
    "role of wrong type": (messages({"role": 1, "content": ""}), "messages[0]", "role"),
    "message without content": (messages({"role": "user"}), "messages[0].content", "required"),
    "null content": (messages({"role": "user", "content": None}), "messages[0].content", "string"),
    "second message": (messages(USER, {"role": "user", "content": 1}), "messages[1].content", ""),
    "no parts": (messages({"role": "user", "content": []}), "messages[0].content", "empty"),
    "part without text": (
        messages({"role": "user", "content": [{"type": "text"}]}),
        "messages[0].content[0].text",
        "required",
    ),
    "unknown message field": (
        messages({**USER, "nam": "x"}),
        "messages[0].nam",
        "messages[0].name",
    ),
    "temperature 3": (chat(temperature=3), "temperature", "less than or equal to 2, and is 3"),
    "temperature below 0": (chat(temperature=-1), "temperature", "-1"),
    "temperature as text": (chat(temperature="1"), "temperature", "number"),
    "top_p 0": (chat(top_p=0), "top_p", "greater than 0"),
    "top_p 2": (chat(top_p=2), "top_p", "equal to 1"),
    "max_tokens 0": (chat(max_tokens=0), "max_tokens", "equal to 1"),
    "max_tokens as bool": (chat(max_tokens=True), "max_tokens", "integer"),
    "max_completion_tokens 0": (chat(max_completion_tokens=0), "max_completion_tokens", "1"),
    "two limits": (chat(max_tokens=1, max_completion_tokens=2), "max_tokens", "differ"),
    "1000 stop strings": (chat(stop=["x"] * 1000), "stop", "1000 items; at most 16"),
    "empty stop string": (chat(stop=[""]), "stop[0]", "1 to 256"),
    "long stop string": (chat(stop="x" * 257), "stop", "1 to 256"),
    "stop of wrong type": (chat(stop=5), "stop", "string or a list"),
    "seed of 65 bits": (chat(seed=2**64), "seed", str(2**63 - 1)),
    "presence_penalty": (chat(presence_penalty=2.5), "presence_penalty", "2.5"),
    "frequency_penalty": (chat(frequency_penalty=-3), "frequency_penalty", "-2"),
    "repetition_penalty": (chat(repetition_penalty=1e-9), "repetition_penalty", "0.01"),
    "min_p": (chat(min_p=1.5), "min_p", "1"),
    "top_k": (chat(top_k=-2), "top_k", "-1"),
    "stop_token_ids": (chat(stop_token_ids=[10**6]), "stop_token_ids", "1000000"),
    "n 0": (chat(n=0), "n", "equal to 1"),
    "n 17": (chat(n=17), "n", "equal to 16, and is 17"),
    "top_logprobs 21": (chat(logprobs=True, top_logprobs=21), "top_logprobs", "equal to 20"),
    "top_logprobs alone": (chat(top_logprobs=1), "top_logprobs", "logprobs: true"),
    "bias as list": (chat(logit_bias=[1]), "logit_bias", "1024 token ids"),
    "bias of 101": (chat(logit_bias={"5": 101}), "logit_bias", "-100 to 100"),
    "bias of a word": (chat(logit_bias={"canary": 1}), "logit_bias", "plain numbers"),
    "bias of an unknown id": (chat(logit_bias={"9999": 1}), "logit_bias", "9999 is over"),
    "min_tokens over the limit": (chat(min_tokens=9, max_tokens=8), "min_tokens", "at most 8"),
    "empty salt": (chat(cache_salt=""), "cache_salt", "at least 1"),
    "long salt": (chat(cache_salt="x" * 257), "cache_salt", "at most 256"),
    "continuous usage": (
        chat(stream=True, stream_options={"continuous_usage_stats": True}),
        "stream_options.continuous_usage_stats",
        "not supported yet",
    ),
    "stream options alone": (
        chat(stream_options={"include_usage": True}),
        "stream_options",
        "stream",
    ),
    "unknown field": (chat(temprature=1), "temprature", "did you mean temperature?"),
    "unknown stream option": (
        chat(stream=True, stream_options={"include_usag": True}),
        "stream_options.include_usag",
        "did you mean stream_options.include_usage?",
    ),
}


@pytest.mark.parametrize("name", WRONG)
async def test_wrong_chat_request_names_the_field(
    name: str, http: httpx.AsyncClient, engine: FakeEngine
) -> None:
    body, param, words = WRONG[name]
    error = error_of(await http.post(CHAT, json=body))
    assert error["type"] == "invalid_request_error"
    assert error["param"] == param
    assert words in error["message"]
    assert param in error["message"]
    assert engine.requests == []


UNSUPPORTED = {
    "functions": [{"name": "f"}],
    "function_call": {"name": "f"},
    "audio": {"voice": "alloy"},
    "modalities": ["text", "audio"],
    "prediction": {"type": "content", "content": "x"},
    "service_tier": "flex",
    "store": True,
    "verbosity": "low",
    "web_search_options": {},
}


@pytest.mark.parametrize("name", UNSUPPORTED)
async def test_known_field_we_do_not_do_is_refused(name: str, http: httpx.AsyncClient) -> None:
    error = error_of(await http.post(CHAT, json=chat(**{name: UNSUPPORTED[name]})))
    assert (error["param"], error["code"]) == (name, "unsupported_parameter")
    assert "not supported yet" in error["message"]


@pytest.mark.parametrize("name", UNSUPPORTED)
async def test_null_asks_for_nothing(name: str, http: httpx.AsyncClient) -> None:
    assert (await http.post(CHAT, json=chat(**{name: None}))).status_code == 200


async def test_completion_field_we_do_not_do_is_refused(http: httpx.AsyncClient) -> None:
    body = {"model": "tiny", "prompt": "hi", "suffix": "x"}
    error = error_of(await http.post(COMPLETIONS, json=body))
    assert (error["param"], error["code"]) == ("suffix", "unsupported_parameter")


@pytest.mark.parametrize(
    ("prompt", "param"),
    [
        ("", "prompt"),
        ([], "prompt"),
        (5, "prompt"),
        ([1, -2], "prompt[1]"),
        ([1, 9999], "prompt"),
        (["a", ""], "prompt"),
        ([[1], []], "prompt[1]"),
        ([[1, -2]], "prompt[0][1]"),
        (["a"] * 129, "prompt"),
    ],
)
async def test_prompt_must_be_text_or_ids_of_the_vocabulary(
    prompt: Any, param: str, http: httpx.AsyncClient
) -> None:
    error = error_of(await http.post(COMPLETIONS, json={"model": "tiny", "prompt": prompt}))
    assert error["param"] == param


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b'{"model": "tiny",\n "messages": [}', "line 2, column 15"),
        (b"", "line 1, column 1"),
        (b"\xff", "UTF-8"),
        (b"[]", "object"),
        (b'{"temperature": NaN}', "NaN"),
        (b"[" * 100_000, "deep"),
        (b'{"seed": ' + b"1" * 5000 + b"}", "large"),
        (b'{"user": "\\ud83d"}', "surrogate"),
        (b'{"model": "a", "model": "b"}', "twice"),
        (b'{"metadata": {' + b",".join(b'"%d": 1' % i for i in range(2000)) + b"}}", "limit 1024"),
    ],
)
async def test_broken_json_says_where(body: bytes, words: str, http: httpx.AsyncClient) -> None:
    assert words in error_of(await http.post(CHAT, content=body))["message"]


@pytest.mark.parametrize(
    ("wire", "name", "value"),
    [
        (ChatRequest, "messages", [{}] * 999),
        (ChatRequest, "messages", [{"role": "user", "content": [{}] * 999}]),
        (CompletionRequest, "prompt", [-1] * 999),
        (ChatRequest, "stop_token_ids", [-1] * 999),
    ],
)
def test_a_thousand_faults_are_found_as_few(wire: Any, name: str, value: Any) -> None:
    """Each fault found costs memory and time, and a body holds millions."""
    with pytest.raises(ValidationError) as found:
        wire.model_validate({"model": "tiny", "messages": [USER], "prompt": "a", name: value})
    assert found.value.error_count() < 5


async def test_long_prompt_is_told_its_length_and_the_limit(http: httpx.AsyncClient) -> None:
    error = error_of(await http.post(CHAT, json=chat("x" * 500)))
    assert error["code"] == "context_length_exceeded"
    assert error["param"] == "messages"
    assert str(CONTEXT) in error["message"]
    assert "519 tokens" in error["message"]


async def test_huge_limit_is_told_the_context(http: httpx.AsyncClient) -> None:
    error = error_of(await http.post(CHAT, json=chat(max_tokens=10**9)))
    assert (error["param"], error["code"]) == ("max_tokens", "context_length_exceeded")
    assert str(CONTEXT) in error["message"]


@pytest.mark.parametrize("path", [CHAT, COMPLETIONS])
async def test_unknown_model_is_not_found(path: str, http: httpx.AsyncClient) -> None:
    body = {**chat(), "model": "gpt"} if path == CHAT else {"model": "gpt", "prompt": "hi"}
    error = error_of(await http.post(path, json=body), 404)
    assert (error["param"], error["code"]) == ("model", "model_not_found")


async def test_model_without_template_refuses_chat_and_completes(
    tmp_path: Any, engine: FakeEngine
) -> None:
    folder = write_folder(tmp_path, template=None)
    served = Served.load(folder, name="tiny", context_length=CONTEXT)
    async with client(create_app(served, engine)) as http:
        assert "no chat template" in error_of(await http.post(CHAT, json=chat()))["message"]
        answer = await http.post(COMPLETIONS, json={"model": "tiny", "prompt": "hi"})
        assert answer.status_code == 200


async def test_template_refusal_is_told(tmp_path: Any, engine: FakeEngine) -> None:
    source = "{{ raise_exception('Roles must alternate') }}"
    served = Served.load(write_folder(tmp_path, template=source), name="tiny", context_length=9)
    async with client(create_app(served, engine)) as http:
        error = error_of(await http.post(CHAT, json=chat()))
        assert error["message"] == "messages: Roles must alternate"


async def test_unknown_route_and_method_have_openai_bodies(http: httpx.AsyncClient) -> None:
    assert error_of(await http.get("/v1/nothing"), 404)["code"] == "route_not_found"
    wrong = await http.get(CHAT)
    assert error_of(wrong, 405)["code"] == "method_not_allowed"
    assert wrong.headers["allow"] == "POST"


@pytest.mark.parametrize("stream", [True, False])
async def test_full_queue_is_429_with_retry_after(
    stream: bool, http: httpx.AsyncClient, engine: FakeEngine
) -> None:
    engine.refusal = Busy("the queue is full", retry_after_s=7)
    answer = await http.post(CHAT, json=chat(stream=stream))
    assert error_of(answer, 429)["type"] == "rate_limit_error"
    assert answer.headers["retry-after"] == "7"
    assert answer.headers["x-request-id"]


@pytest.mark.parametrize("stream", [True, False])
async def test_error_before_the_first_token_is_a_status(
    stream: bool, http: httpx.AsyncClient, engine: FakeEngine
) -> None:
    engine.script = [InternalError("the engine failed")]
    answer = await http.post(CHAT, json=chat(stream=stream))
    assert error_of(answer, 500)["code"] == "internal_error"


async def test_error_behind_tokens_is_an_event_then_done(
    http: httpx.AsyncClient, engine: FakeEngine
) -> None:
    engine.script = [*tokens("a", "b")[:1], InternalError("the engine failed")]
    answer = await http.post(CHAT, json=chat(stream=True))
    assert answer.status_code == 200
    *_, error, done, end = answer.text.split("\n\n")
    assert json.loads(error.removeprefix("data: "))["error"]["code"] == "internal_error"
    assert (done, end) == ("data: [DONE]", "")


async def test_draining_worker_finishes_and_takes_nothing_new(http: httpx.AsyncClient) -> None:
    assert (await http.get("/ready")).status_code == 200
    assert (await http.post("/worker/drain")).json()["status"] == "draining"
    assert error_of(await http.get("/ready"), 503)["code"] == "unavailable"
    assert error_of(await http.post(CHAT, json=chat()), 503)["code"] == "unavailable"
    assert (await http.get("/health")).status_code == 200


async def test_engine_that_drains_is_503(http: httpx.AsyncClient, engine: FakeEngine) -> None:
    engine.refusal = Unavailable("draining")
    error_of(await http.post(CHAT, json=chat()), 503)


@pytest.mark.parametrize("path", [CHAT, "/v1/models", "/metrics", "/openapi.json", "/nothing"])
@pytest.mark.parametrize("token", [None, "", "wrong", "sécret"])
async def test_wrong_token_opens_nothing(
    path: str, token: str | None, served: Served, engine: FakeEngine
) -> None:
    app = create_app(served, engine, token=SecretStr("secret"))
    headers = {} if token is None else {b"x-cloister-worker-token": token.encode()}
    async with client(app) as http:
        for method in ("GET", "POST"):
            error = error_of(await http.request(method, path, headers=headers), 401)
            assert error["type"] == "authentication_error"
        assert (await http.get("/health")).status_code == 200
        assert (await http.get("/ready")).status_code == 200


async def test_tenant_counts_only_with_the_token(served: Served, engine: FakeEngine) -> None:
    tenant = {"x-cloister-tenant": "acme"}
    async with client(create_app(served, engine)) as http:
        await http.post(CHAT, json=chat(), headers=tenant)
    async with client(create_app(served, engine, token=SecretStr("secret"))) as http:
        await http.post(CHAT, json=chat(), headers={**tenant, "x-cloister-worker-token": "secret"})
    assert [request.salt for request in engine.requests] == ["", "acme"]


async def test_body_over_the_limit_is_413_before_it_is_read(
    http: httpx.AsyncClient, engine: FakeEngine
) -> None:
    async def endless() -> Any:
        nonlocal sent
        for _ in range(50):
            sent += 1
            yield b" " * 1_000_000

    sent = 0
    error = error_of(await http.post(CHAT, content=endless()), 413)
    assert error["code"] == "request_too_large"
    assert sent < 12
    announced = await http.post(CHAT, content=b" " * 50_000_000)
    assert "8388608" in error_of(announced, 413)["message"]


async def test_unexpected_exception_shows_nothing(
    served: Served, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken(FakeEngine):
        def submit(self, request: Any, listener: Any) -> None:
            raise RuntimeError("secret canary")

    async with client(create_app(served, Broken())) as http:
        answer = await http.post(CHAT, json=chat("canary"))
    assert error_of(answer, 500)["type"] == "server_error"
    assert "canary" not in answer.text + caplog.text
    assert "RuntimeError" in caplog.text
    assert answer.headers["x-request-id"] in caplog.text


@pytest.mark.parametrize("name", WRONG)
async def test_refusals_do_not_repeat_the_prompt(name: str, http: httpx.AsyncClient) -> None:
    body = {**WRONG[name][0]}
    if isinstance(body.get("messages"), list):
        body["messages"] = [*body["messages"], {"role": "user", "content": "canary"}]
    assert "canary" not in (await http.post(CHAT, json=body)).text
