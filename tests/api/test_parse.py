"""Whatever a client sends is parsed or refused; nothing else is ever raised."""

import json
from contextlib import suppress
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from cloister.errors import BadRequest
from cloister.wire.chat import ChatRequest
from cloister.wire.completion import CompletionRequest
from cloister.wire.parse import parse_chat, parse_completion

SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
JSON = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
MESSAGE = st.fixed_dictionaries(
    {},
    optional={
        "role": st.sampled_from(["user", "system", "tool", "assistant", "developer"]) | JSON,
        "content": st.text() | st.lists(st.fixed_dictionaries({"type": JSON, "text": JSON})) | JSON,
        "name": JSON,
        "tool_calls": JSON,
    },
)


def bodies(wire: type[Any], **more: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    fields = dict.fromkeys(wire.model_fields, JSON)
    return st.fixed_dictionaries({}, optional={**fields, "model": st.just("m"), **more})


@given(bodies(ChatRequest, messages=st.lists(MESSAGE, max_size=3) | JSON, tools=JSON))
def test_any_chat_body_is_parsed_or_refused(body: dict[str, Any]) -> None:
    with suppress(BadRequest):
        parse_chat(json.dumps(body).encode())


@given(bodies(CompletionRequest, prompt=st.lists(st.integers()) | st.text() | JSON))
def test_any_completion_body_is_parsed_or_refused(body: dict[str, Any]) -> None:
    with suppress(BadRequest):
        parse_completion(json.dumps(body).encode())


@given(st.binary())
def test_any_bytes_are_parsed_or_refused(body: bytes) -> None:
    with suppress(BadRequest):
        parse_chat(body)


@given(JSON)
def test_parsed_body_keeps_what_was_asked(value: Any) -> None:
    """A member is either refused or there; none gets lost on the way."""
    body = {"model": "m", "messages": [{"role": "user", "content": "a"}], "seed": value}
    with suppress(BadRequest):
        seed = parse_chat(json.dumps(body).encode()).seed
        assert seed == value
        assert type(seed) is type(value)
