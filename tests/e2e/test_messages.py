"""Anthropic's stock SDK before the whole stack: its stream tells what the whole answer does."""

from collections.abc import Iterator
from typing import Any

import anthropic
import pytest

from tests.e2e.stack import Stack

ASKED: dict[str, Any] = {
    "model": "novice",
    "system": "You are kind.",
    "messages": [{"role": "user", "content": "Tell me a story about a fox."}],
}


@pytest.fixture
def sdk(stack: Stack) -> Iterator[anthropic.Anthropic]:
    url = stack.controller_url
    with anthropic.Anthropic(base_url=url, api_key="k", _strict_response_validation=True) as client:
        yield client


def test_stream_is_the_whole_and_the_count_is_exact(sdk: anthropic.Anthropic) -> None:
    limited: Any = {**ASKED, "max_tokens": 60, "extra_body": {"temperature": 0}}
    whole = sdk.messages.create(**limited)
    with sdk.messages.stream(**limited) as stream:
        streamed = stream.get_final_message()
    [text] = whole.content
    assert text.type == "text"
    assert text.text.strip()
    assert (streamed.content[0].to_dict() | {"parsed_output": None}) == (
        text.to_dict() | {"parsed_output": None}
    )
    assert (streamed.stop_reason, streamed.usage) == (whole.stop_reason, whole.usage)
    assert sdk.messages.count_tokens(**ASKED).input_tokens == whole.usage.input_tokens
