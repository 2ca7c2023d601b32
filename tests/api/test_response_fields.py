"""Every field that the OpenAI SDK can send to /v1/responses is done, or refused by its name."""

import json
from typing import Any, get_args, get_type_hints

import httpx
import pytest
from openai.types.responses import (
    ResponseIncludable,
    ResponseInputItemParam,
    ResponseTextConfigParam,
    ToolParam,
)
from openai.types.responses.response_create_params import (
    ResponseCreateParamsStreaming,
    StreamOptions,
    ToolChoice,
)
from openai.types.shared_params import Reasoning

from cloister.errors import BadRequest
from cloister.wire import unsupported
from cloister.wire.parse_response import ITEMS, parse_response
from cloister.wire.response import (
    ReasoningConfig,
    ResponseRequest,
    ResponseStreamOptions,
    TextConfig,
)

RESPONSES = "/v1/responses"
ITEM = {"role": "user", "content": "hi"}
TOOL = {"type": "function", "name": "get"}
IMAGE = {"role": "user", "content": [{"type": "input_image"}]}
SECRET = {"type": "reasoning", "encrypted_content": "x"}
RESULT = {"type": "function_call_output", "call_id": "c", "output": ""}
JSON = {"format": {"type": "json_object"}}
USAGE = {"include_usage": True}
CALL = {"type": "function_call", "call_id": "c", "name": "get", "arguments": "{}"}
SCHEMA = {"type": "json_schema", "name": "x", "schema": {"not": {}}}


def refusal(**members: Any) -> BadRequest:
    body = {"model": "tiny", "input": "hi", **members}
    with pytest.raises(BadRequest) as refused:
        parse_response(json.dumps(body).encode())
    return refused.value


def names(kind: Any) -> set[str]:
    return set(kind.model_fields)


@pytest.mark.parametrize(
    ("params", "done", "refused"),
    [
        (ResponseCreateParamsStreaming, ResponseRequest, unsupported.RESPONSE),
        (StreamOptions, ResponseStreamOptions, {}),
        (ResponseTextConfigParam, TextConfig, unsupported.RESPONSE_INNER["text"]),
        (Reasoning, ReasoningConfig, unsupported.RESPONSE_INNER["reasoning"]),
    ],
)
def test_no_field_of_the_sdk_is_forgotten(params: Any, done: Any, refused: Any) -> None:
    known = set(get_type_hints(params))
    if params is ResponseCreateParamsStreaming:
        assert {"input", "stream", "truncation", "conversation"} <= known
    assert known == (names(done) & known) | set(refused)


@pytest.mark.parametrize("name", unsupported.RESPONSE)
def test_what_is_not_done_is_refused_by_name(name: str) -> None:
    assert refusal(**{name: "x"}).param == name


@pytest.mark.parametrize("outer", unsupported.RESPONSE_INNER)
def test_inner_fields_are_refused_by_name(outer: str) -> None:
    for name in unsupported.RESPONSE_INNER[outer]:
        assert refusal(**{outer: {name: "x"}}).param == f"{outer}.{name}"


def kinds(union: Any) -> set[str]:
    """The values of `type` in a union of typed dictionaries."""
    hints = [get_type_hints(one) for one in get_args(union) if isinstance(one, type)]
    return {kind for hint in hints for kind in _literals(hint.get("type"))}


def _literals(hint: Any) -> set[str]:
    inner = get_args(hint)
    return {one for one in inner if isinstance(one, str)}.union(*map(_literals, inner))


def test_item_types_of_the_sdk_are_done_or_refused() -> None:
    known = kinds(ResponseInputItemParam)
    assert {"mcp_call", "item_reference", "message", "reasoning"} <= known
    for kind in known - set(ITEMS):
        error = refusal(input=[{"type": kind, "id": "x"}])
        assert (error.param, error.code) == ("input[0].type", "unsupported_parameter")


def test_tools_and_choices_that_are_no_functions_are_refused() -> None:
    known = kinds(ToolParam) - {"function"}
    assert {"custom", "mcp", "web_search"} <= known
    for kind in known:
        assert refusal(tools=[{"type": kind}]).param == "tools[0].type"
    for kind in kinds(ToolChoice) - {"function"}:
        assert refusal(tool_choice={"type": kind}).param == "tool_choice.type"


def test_what_cannot_be_included_is_refused() -> None:
    for name in set(get_args(ResponseIncludable)) - {"message.output_text.logprobs"}:
        assert refusal(include=[name]).param == "include[0]"


@pytest.mark.parametrize(
    ("members", "param"),
    [
        ({"input": None}, "input"),
        ({"input": []}, "input"),
        ({"input": 3}, "input"),
        ({"input": ["hi"]}, "input[0]"),
        ({"input": [{}]}, "input[0].type"),
        ({"input": [{**ITEM, "role": "tool"}]}, "input[0].role"),
        ({"input": [{**ITEM, "content": 3}]}, "input[0].content"),
        ({"input": [{**ITEM, "odd": 3}]}, "input[0].odd"),
        ({"input": [{**ITEM, "phase": "commentary"}]}, "input[0].phase"),
        ({"input": [ITEM, IMAGE]}, "input[1].content[0].type"),
        ({"input": [{**ITEM, "content": [{"type": "input_text"}]}]}, "input[0].content[0].text"),
        ({"input": [{**CALL, "arguments": {}}]}, "input[0].arguments"),
        ({"input": [SECRET]}, "input[0].encrypted_content"),
        ({"max_output_tokens": 0}, "max_output_tokens"),
        ({"max_tokens": 3}, "max_tokens"),
        ({"n": 2}, "n"),
        ({"temperature": 3}, "temperature"),
        ({"top_logprobs": 2}, "top_logprobs"),
        ({"tools": [{**TOOL, "name": "no name"}]}, "tools[0].name"),
        ({"tools": [{**TOOL, "defer_loading": True}]}, "tools[0].defer_loading"),
        ({"tool_choice": {"type": "function"}}, "tool_choice.name"),
        ({"text": {"format": {"type": "odd"}}}, "text.format"),
        ({"text": {"format": {"type": "json_schema"}}}, "text.format.name"),
        ({"text": JSON, "structured_outputs": {"regex": "a"}}, "structured_outputs"),
        ({"reasoning": {"effort": "odd"}}, "reasoning.effort"),
        ({"metadata": {"a": 3}}, "metadata"),
        ({"metadata": {str(n): "" for n in range(17)}}, "metadata"),
        ({"stream_options": {"include_obfuscation": True}}, "stream_options"),
        ({"stream": True, "stream_options": USAGE}, "stream_options.include_usage"),
        ({"truncation": "auto"}, "truncation"),
        ({"odd": 3}, "odd"),
    ],
)
def test_wrong_members_are_named(members: dict[str, Any], param: str) -> None:
    assert refusal(**members).param == param


@pytest.mark.parametrize(
    ("members", "param"),
    [
        ({"max_output_tokens": 10_000}, "max_output_tokens"),
        ({"input": "long " * 100}, "input"),
        ({"text": {"format": SCHEMA}}, "text.format.schema.not"),
        ({"reasoning": {"effort": "high"}}, "reasoning.effort"),
        ({"tools": [TOOL]}, "tools"),
        ({"tools": [TOOL], "tool_choice": {"type": "function", "name": "put"}}, "tool_choice.name"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"logit_bias": {"9999": 1}}, "logit_bias"),
        ({"input": [{**CALL, "arguments": "{"}]}, "input[0].arguments"),
        ({"input": [RESULT]}, "input[0].call_id"),
        ({"input": [{"type": "reasoning"}]}, "input"),
        ({"structured_outputs": {"grammar": "start: nothing"}}, "structured_outputs.grammar"),
        ({"structured_outputs": {"regex": "a"}, "min_tokens": 2}, "min_tokens"),
    ],
)
async def test_faults_behind_the_wire_name_the_response_s_members(
    members: dict[str, Any], param: str, http: httpx.AsyncClient
) -> None:
    answer = await http.post(RESPONSES, json={"model": "tiny", "input": "hi", **members})
    error = answer.json()["error"]
    assert (answer.status_code, error["param"]) == (400, param)
    assert error["message"].startswith(param)


async def test_neutral_values_pass(http: httpx.AsyncClient) -> None:
    neutral = {"background": False, "truncation": "disabled", "service_tier": "auto", "tools": []}
    neutral |= {
        "conversation": None,
        "text": {"verbosity": "medium"},
        "reasoning": {"summary": None},
    }
    answer = await http.post(RESPONSES, json={"model": "tiny", "input": "hi", **neutral})
    assert answer.status_code == 200
