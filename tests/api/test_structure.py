"""Structured output over HTTP: what is asked reaches the engine, what cannot be is refused."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import jsonschema
import pytest

from tests.api.conftest import chat, client
from tests.engine.fakes import PagedModel
from tests.fakes.engine import FakeEngine
from tests.fakes.vocabulary import byte_tokenizer, write_folder
from worker.api.app import create_app
from worker.api.served import Served
from worker.engine.engine import InferenceEngine
from worker.engine.limits import Limits

CHAT = "/v1/chat/completions"
COMPLETIONS = "/v1/completions"

POINT: dict[str, Any] = {
    "type": "object",
    "properties": {"x": {"type": "integer"}, "on": {"type": "boolean"}},
    "required": ["x", "on"],
    "additionalProperties": False,
}


@pytest.fixture
async def random_model(tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    """A worker whose model's logits are random."""
    model = PagedModel(page_count=500, context_length=600)
    served = Served.load(write_folder(tmp_path), name="tiny", context_length=600)
    model.vocabulary_size = served.vocabulary_size
    engine = InferenceEngine(model, served.tokenizer, Limits())
    engine.start()
    async with client(create_app(served, engine)) as http:
        yield http
    engine.close()


def schema_format(schema: Any, **more: Any) -> dict[str, Any]:
    return {"type": "json_schema", "json_schema": {"name": "point", "schema": schema, **more}}


@pytest.mark.parametrize("strict", [True, False, None])
async def test_json_schema_is_enforced_strict_or_not(
    strict: bool | None, random_model: httpx.AsyncClient
) -> None:
    asked = chat(response_format=schema_format(POINT, strict=strict), max_tokens=300, seed=3)
    choice = (await random_model.post(CHAT, json=asked)).json()["choices"][0]
    assert choice["finish_reason"] == "stop"
    jsonschema.validate(json.loads(choice["message"]["content"]), POINT)


async def test_each_choice_has_the_form_and_told_values_are_the_model_s(
    random_model: httpx.AsyncClient,
) -> None:
    asked = chat(response_format=schema_format(POINT), max_tokens=300, seed=3, n=2, logprobs=True)
    choices = (await random_model.post(CHAT, json=asked)).json()["choices"]
    assert choices[0]["message"] != choices[1]["message"]
    for choice in choices:
        content, told = choice["message"]["content"], choice["logprobs"]["content"]
        jsonschema.validate(json.loads(content), POINT)
        assert bytes(byte for entry in told for byte in entry["bytes"]) == content.encode()
        assert max(entry["logprob"] for entry in told) < -0.1, "a forced token is told as certain"


async def test_bias_moves_only_what_the_form_allows(random_model: httpx.AsyncClient) -> None:
    encoder = byte_tokenizer()
    a, b, x = (encoder.token_to_id(letter) for letter in "abx")
    asked = chat(structured_outputs={"regex": "[ab]{9}"}, logit_bias={x: 100, a: 50, b: -50})
    choice = (await random_model.post(CHAT, json=asked)).json()["choices"][0]
    assert choice["message"]["content"] == "a" * 9


async def test_echoed_prompt_is_scored_as_without_a_form(random_model: httpx.AsyncClient) -> None:
    asked = {"model": "tiny", "prompt": "hello", "echo": True, "logprobs": 0, "max_tokens": 3}
    free = (await random_model.post(COMPLETIONS, json=asked)).json()["choices"][0]
    held = {**asked, "structured_outputs": {"regex": "b{3}"}, "n": 2}
    for choice in (await random_model.post(COMPLETIONS, json=held)).json()["choices"]:
        assert choice["text"] == "hellobbb"
        values = [one["logprobs"]["token_logprobs"][:-3] for one in (choice, free)]
        assert values[0] == values[1]
        assert max(choice["logprobs"]["token_logprobs"][-3:]) < 0


@pytest.mark.parametrize("field", [{"min_tokens": 1}, {"ignore_eos": True}])
@pytest.mark.parametrize("path", [CHAT, COMPLETIONS])
async def test_form_decides_where_it_ends(
    field: dict[str, Any], path: str, http: httpx.AsyncClient
) -> None:
    base = chat() if path == CHAT else {"model": "tiny", "prompt": "hi"}
    answer = await http.post(path, json={**base, "structured_outputs": {"regex": "a"}, **field})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, next(iter(field)))


async def test_json_object_is_an_object(random_model: httpx.AsyncClient) -> None:
    for seed in range(5):
        asked = chat(response_format={"type": "json_object"}, max_tokens=200, seed=seed)
        choice = (await random_model.post(CHAT, json=asked)).json()["choices"][0]
        if choice["finish_reason"] == "stop":
            assert isinstance(json.loads(choice["message"]["content"]), dict)
        else:
            assert choice["message"]["content"].startswith("{")


STRUCTURES: dict[str, tuple[dict[str, Any], str]] = {
    "json": ({"json": {"const": [1, {"a": None}]}}, '[1,{"a":null}]'),
    "regex": ({"regex": "a{3}b"}, "aaab"),
    "choice": ({"choice": [" x\n"]}, " x\n"),
    "grammar": ({"grammar": 'start: "a" b\nb: /c{2}/  // "<"'}, "acc"),
}


@pytest.mark.parametrize("path", [CHAT, COMPLETIONS])
@pytest.mark.parametrize("name", STRUCTURES)
async def test_structured_outputs_are_enforced(
    name: str, path: str, random_model: httpx.AsyncClient
) -> None:
    structure, expected = STRUCTURES[name]
    asked = chat(structured_outputs=structure, max_tokens=100)
    if path == COMPLETIONS:
        asked["prompt"] = asked.pop("messages")[0]["content"]
    choice = (await random_model.post(path, json=asked)).json()["choices"][0]
    text = choice["text"] if path == COMPLETIONS else choice["message"]["content"]
    assert choice["finish_reason"] == "stop"
    assert "".join(text.split()) == "".join(expected.split())


async def test_text_format_holds_to_nothing(http: httpx.AsyncClient, engine: FakeEngine) -> None:
    await http.post(CHAT, json=chat(response_format={"type": "text"}))
    assert engine.requests[0].grammar is None


ROOT = "response_format.json_schema.schema"


def within(**schema: Any) -> dict[str, Any]:
    """A schema, deep inside another."""
    return {"type": "object", "properties": {"p": {"anyOf": [{"items": schema}]}}}


WITHIN = f"{ROOT}.properties.p.anyOf[0].items"

UNSUPPORTED = {
    "uniqueItems": (within(uniqueItems=True), f"{WITHIN}.uniqueItems"),
    "not": (within(**{"not": {}}), f"{WITHIN}.not"),
    "if": ({"if": {}, "then": {}}, f"{ROOT}.if"),
    "contains": (within(contains={}), f"{WITHIN}.contains"),
    "dependentRequired": (within(dependentRequired={}), f"{WITHIN}.dependentRequired"),
    "misspelled": (within(maxLenght=3), f"{WITHIN}.maxLenght"),
    "leniency": (within(**{"x-guidance": {"lenient": True}}), f"{WITHIN}.x-guidance"),
    "format": (within(format="SECRET"), f"{WITHIN}.format"),
    "outer reference": (within(**{"$ref": "https://SECRET"}), f"{WITHIN}.$ref"),
    "dangling reference": (within(**{"$ref": "#/$defs/SECRET"}), f"{WITHIN}.$ref"),
    "old tuple": ({"items": [{"type": "null"}]}, f"{ROOT}.items"),
    "list as a map": ({"properties": ["SECRET"]}, f"{ROOT}.properties"),
    "no list": ({"anyOf": {"type": "null"}}, f"{ROOT}.anyOf"),
    "unknown type": (within(type="SECRET"), ROOT),
    "pattern": (within(type="string", pattern="(?=SECRET)"), ROOT),
    "nothing": ({"enum": []}, ROOT),
    "contradiction": ({"type": "integer", "minimum": 2, "maximum": 1}, ROOT),
    "overlap": (
        {"oneOf": [{"type": "string"}, {"type": "string", "minLength": 2}]},
        ROOT,
    ),
    "size": ({"enum": ["SECRET" * 15_000]}, ROOT),
}


@pytest.mark.parametrize("name", UNSUPPORTED)
async def test_schema_we_cannot_enforce_is_refused_at_its_place(
    name: str, http: httpx.AsyncClient, engine: FakeEngine
) -> None:
    schema, param = UNSUPPORTED[name]
    answer = await http.post(CHAT, json=chat(response_format=schema_format(schema)))
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert error["param"] == param
    assert error["message"].startswith(param)
    assert "SECRET" not in error["message"]
    assert engine.requests == []


async def test_deep_schema_is_refused(http: httpx.AsyncClient) -> None:
    schema: dict[str, Any] = {}
    for _ in range(70):
        schema = {"items": schema}
    answer = await http.post(CHAT, json=chat(response_format=schema_format(schema)))
    assert (answer.status_code, "deeper than 64" in answer.text) == (400, True)


OUTPUTS = "structured_outputs"

WRONG = {
    "none given": ({}, OUTPUTS, "exactly one of json, regex, choice, grammar"),
    "two given": ({"regex": "a", "choice": ["b"]}, OUTPUTS, "exactly one"),
    "unknown": ({"regx": "a"}, f"{OUTPUTS}.regx", "did you mean structured_outputs.regex?"),
    "json of wrong type": ({"json": 5}, f"{OUTPUTS}.json", "object"),
    "json schema": ({"json": {"not": {}}}, f"{OUTPUTS}.json.not", "not supported"),
    "regex": ({"regex": "(SECRET"}, f"{OUTPUTS}.regex", "unclosed group"),
    "no choice": ({"choice": []}, f"{OUTPUTS}.choice", "empty"),
    "empty choice": ({"choice": [""]}, f"{OUTPUTS}.choice[0]", "1"),
    "lark": ({"grammar": "start: SECRET"}, f"{OUTPUTS}.grammar", "line 1, column 8"),
    "special token": ({"grammar": 'start: "a" <|im_end|>'}, f"{OUTPUTS}.grammar", "special"),
    "token id": ({"grammar": "start: /SECRET/ <[258]>"}, f"{OUTPUTS}.grammar", "special"),
    "options": (
        {"grammar": 'start: "a"\n%llguidance {"allow_invalid_utf8": true}'},
        f"{OUTPUTS}.grammar",
        "options",
    ),
    "leniency": (
        {"grammar": 'start: %json {"x-guidance": {"lenient": true}}'},
        f"{OUTPUTS}.grammar",
        "x-guidance",
    ),
    "other form": ({"grammar": '{"grammars": []}'}, f"{OUTPUTS}.grammar", "line 1"),
}


@pytest.mark.parametrize("name", WRONG)
async def test_wrong_structure_is_refused(
    name: str, http: httpx.AsyncClient, engine: FakeEngine
) -> None:
    structure, param, words = WRONG[name]
    answer = await http.post(CHAT, json=chat(structured_outputs=structure))
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert (error["param"], words in error["message"]) == (param, True), error
    assert "SECRET" not in error["message"]
    assert engine.requests == []


@pytest.mark.parametrize(
    ("given", "param"),
    [
        ({"type": "json"}, "response_format"),
        ({}, "response_format"),
        ({"type": "json_schema"}, "response_format.json_schema"),
        (
            {"type": "json_schema", "json_schema": {"name": "a b"}},
            "response_format.json_schema.name",
        ),
        (
            {"type": "json_schema", "json_schema": {"name": "a", "scheme": {}}},
            "response_format.json_schema.scheme",
        ),
    ],
)
async def test_wrong_response_format_is_refused(
    given: Any, param: str, http: httpx.AsyncClient
) -> None:
    answer = await http.post(CHAT, json=chat(response_format=given))
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param), answer.text


async def test_two_forms_at_once_are_refused(http: httpx.AsyncClient) -> None:
    asked = chat(response_format={"type": "json_object"}, structured_outputs={"regex": "a"})
    answer = await http.post(CHAT, json=asked)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, OUTPUTS)
