"""Each check that passes on a good server fails on one with the fault that it is there to find."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from cloister.conform.command import CHECKS, outcome
from cloister.conform.report import Result
from cloister.conform.server import Server
from controller.keys import KeyTable
from tests.conform.faulty import Answer, Ask, Change, Faulty, as_it_is, drop, replace, validation
from tests.contract.rig import SpelledEngine
from tests.controller.conftest import new_app, new_store
from tests.fakes.vocabulary import write_folder
from worker.api.app import create_app
from worker.api.served import Served
from worker.engine.limits import Limits

BY_ID = {check.id: check for check in CHECKS}
NEEDS_A_MODEL = {"structure.json_object"}
"""Who knows only the alphabet never ends a string; the novice passes these in tests/e2e."""


def dropped(*fields: str) -> tuple[Ask, Change]:
    return drop(*fields), as_it_is


def answering(change: Change) -> tuple[Ask, Change]:
    return as_it_is, change


def changed(old: str, new: str, count: int = -1) -> tuple[Ask, Change]:
    return answering(replace(old, new, count))


def accepting(answer: Answer) -> Answer:
    return Answer(200, answer.headers, b"{}")


def text_of_html(answer: Answer) -> Answer:
    return Answer(answer.status, [(b"content-type", b"text/html")], answer.body)


FAULTS = {
    "models.listed": changed('"object":"model"', '"object":"thing"'),
    "models.retrieved": changed('"created"', '"made"'),
    "models.unknown": answering(accepting),
    "chat.whole": changed('"finish_reason":"length"', '"finish_reason":"abort"'),
    "chat.usage": changed('"total_tokens":', '"total_tokens":1'),
    "chat.max_tokens": dropped("max_tokens"),
    "chat.max_completion_tokens": dropped("max_completion_tokens"),
    "chat.stop": dropped("stop"),
    "chat.stop_streamed": dropped("stop"),
    "chat.n": dropped("n"),
    "chat.logit_bias": dropped("logit_bias"),
    "chat.logprobs": dropped("logprobs", "top_logprobs"),
    "stream.done": changed("data: [DONE]\n\n", ""),
    "stream.lines": changed("data: {", "event: chunk\ndata: {"),
    "stream.shape": changed('"index":0,', ""),
    "stream.role": changed('"delta":{"content"', '"delta":{"role":"assistant","content"'),
    "stream.finish": changed('"finish_reason":null', '"finish_reason":"stop"'),
    "stream.constant": changed('"id":"chatcmpl-', '"id":"other-', 1),
    "stream.usage": changed('"choices":[],"usage"', '"usage"'),
    "stream.usage_exact": changed(
        '"choices":[],"usage":{"prompt_tokens":', '"choices":[],"usage":{"prompt_tokens":1'
    ),
    "stream.equal": changed('"content":"b"', '"content":"B"'),
    "stream.n": dropped("n"),
    "stream.obfuscation": dropped("stream_options"),
    "structure.json_object": dropped("response_format"),
    "structure.json_schema": dropped("response_format"),
    "structure.json_schema_streamed": dropped("response_format"),
    "structure.bad_schema": dropped("response_format"),
    "completions.whole": changed('"text_completion"', '"completion"'),
    "completions.equal": changed('"text":"h"', '"text":"H"'),
    "completions.done": changed("data: [DONE]\n\n", ""),
    "completions.echo": dropped("echo"),
    "completions.logprobs": dropped("logprobs"),
    "completions.prompts": changed('"index":1', '"index":0'),
    "errors.broken_json": answering(validation),
    "errors.no_object": answering(validation),
    "errors.unknown_model": changed("model_not_found", "not_found"),
    "errors.missing": changed('"param":"messages"', '"param":null'),
    "errors.empty": answering(validation),
    "errors.role": answering(validation),
    "errors.wrong_type": answering(validation),
    "errors.temperature": dropped("temperature"),
    "errors.max_tokens": dropped("max_tokens"),
    "errors.top_p": dropped("top_p"),
    "errors.n": dropped("n"),
    "errors.streamed": dropped("temperature"),
    "errors.context": changed("context_length_exceeded", "too_long"),
    "errors.route": changed('{"error"', '{"detail"'),
    "errors.method": changed('{"error"', '{"detail"'),
    "operation.inside": answering(lambda answer: Answer(500, answer.headers, answer.body)),
}
"""What is done to a good server, and the check that must find it out."""

DOUBTS = {
    "errors.unknown_field": dropped("no_such_field_anywhere"),
    "errors.stream_options": dropped("stream_options"),
    "operation.request_id": answering(text_of_html),
}
"""What is allowed, and is told."""


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FastAPI]:
    folder = write_folder(tmp_path_factory.mktemp("good"))
    served = Served.load(folder, name="tiny", context_length=600)
    engine = SpelledEngine(served, Limits())
    engine.start()
    yield create_app(served, engine)
    engine.close()


def server(app: Any, key: str = "") -> Server:
    http = httpx.AsyncClient(transport=httpx.ASGITransport(app))
    return Server(http, "http://server/v1", "tiny", key)


async def found(id: str, app: Any, key: str = "") -> Result:
    one = server(app, key)
    async with one.http:
        return await outcome(BY_ID[id], one)


@pytest.mark.parametrize("id", sorted({*FAULTS, *DOUBTS} - NEEDS_A_MODEL))
async def test_check_passes_on_a_good_server(id: str, app: FastAPI) -> None:
    result = await found(id, Faulty(app))
    assert result.status == "pass", result.why


@pytest.mark.parametrize("id", FAULTS)
async def test_check_fails_on_its_fault(id: str, app: FastAPI) -> None:
    result = await found(id, Faulty(app, *FAULTS[id]))
    assert result.status == "fail"
    assert result.why


@pytest.mark.parametrize("id", DOUBTS)
async def test_check_warns_of_its_doubt(id: str, app: FastAPI) -> None:
    assert (await found(id, Faulty(app, *DOUBTS[id]))).status == "warn"


async def test_open_server_is_found_out_and_a_closed_one_passes(app: FastAPI) -> None:
    assert (await found("operation.auth", app, "key")).status == "fail"
    store = new_store()
    closed, key = new_app(store), KeyTable(store).create("alice")
    assert (await found("operation.auth", closed, key)).status == "pass"


async def test_what_is_refused_in_plain_words_is_skipped(app: FastAPI) -> None:
    without = Faulty(app, *answering(lambda answer: Answer(404, answer.headers, b"{}")))
    result = await found("further.responses", without)
    assert result.status == "skip"
    assert "404" in result.why


async def test_server_that_cannot_be_reached_fails_each_check() -> None:
    async with httpx.AsyncClient() as http:
        one = Server(http, "http://127.0.0.1:1/v1", "tiny")
        result = await outcome(BY_ID["models.listed"], one)
    assert (result.status, result.why) == ("fail", "the connection failed: ConnectError")
