"""The chat template says the same in a plain sandboxed Jinja and in transformers."""

from functools import cache
from itertools import islice
from pathlib import Path
from random import Random

import pytest
from tokenizers import Tokenizer
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from worker.novice.chat import Message, assistant, call, load_template, render, user
from worker.novice.corpus import conversations
from worker.novice.template import TEMPLATE

MODEL = Path(__file__).parents[2] / "worker" / "novice" / "model"
TOOL = {"type": "function", "function": {"name": "get_tide", "parameters": {"type": "object"}}}


@cache
def theirs() -> PreTrainedTokenizerBase:
    return AutoTokenizer.from_pretrained(MODEL)


def ours(messages: list[Message], *tools: dict[str, object], ask: bool = True) -> str:
    return render(load_template(TEMPLATE), messages, tools, ask=ask)


@pytest.mark.parametrize("ask", [True, False])
def test_rendering_equals_that_of_transformers(ask: bool) -> None:
    template = load_template(TEMPLATE)
    for talk in islice(conversations(Random(3)), 60):
        reference = theirs().apply_chat_template(
            list(talk.messages),
            tools=list(talk.tools) or None,
            add_generation_prompt=ask,
            tokenize=False,
        )
        assert render(template, talk.messages, talk.tools, ask=ask) == reference


def test_plain_exchange() -> None:
    text = ours([user("hi"), assistant("Hello!"), user("bye")])
    assert text == (
        "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\nHello!<|im_end|>\n"
        "<|im_start|>user\nbye<|im_end|>\n<|im_start|>assistant\n"
    )


def test_tools_join_the_system_message() -> None:
    text = ours([{"role": "system", "content": "Be brief."}, user("tide?")], TOOL, ask=False)
    assert text.startswith(
        "<|im_start|>system\nBe brief.\n\nYou can call these tools:\n<tools>\n"
        '{"name": "get_tide", "parameters": {"type": "object"}}\n</tools><|im_end|>\n'
    )


def test_call_and_result() -> None:
    result: Message = {"role": "tool", "content": "3 m"}
    text = ours([user("tide?"), call("get_tide", {"at": "Ghent"}), result], TOOL, ask=False)
    assert text.endswith(
        '<tool_call>\n{"name": "get_tide", "arguments": {"at": "Ghent"}}\n</tool_call><|im_end|>\n'
        "<|im_start|>tool\n<tool_response>\n3 m\n</tool_response><|im_end|>\n"
    )


def test_arguments_as_json_text_render_like_an_object() -> None:
    as_object, as_text = call("f", {"a": "ü"}), call("f", {})
    as_text["tool_calls"][0]["function"]["arguments"] = '{"a": "ü"}'
    assert ours([as_object]) == ours([as_text])


def test_missing_content_of_a_call_renders_like_an_empty_one() -> None:
    silent = call("f", {})
    silent["content"] = None  # type: ignore[typeddict-item]
    assert ours([silent]) == ours([call("f", {})])


@pytest.mark.parametrize("text", ["naïve café", "日本語 🙂", "a\n\n  b\t", "1234 + 56", "{}\x00"])
def test_tokenizer_round_trips_any_text(text: str) -> None:
    tokenizer = Tokenizer.from_file(str(MODEL / "tokenizer.json"))
    assert tokenizer.decode(tokenizer.encode(text).ids) == text


def test_each_digit_is_its_own_token() -> None:
    tokenizer = Tokenizer.from_file(str(MODEL / "tokenizer.json"))
    assert tokenizer.encode("2048").tokens == ["2", "0", "4", "8"]


def test_tool_marks_are_single_tokens_and_survive_decoding() -> None:
    tokenizer = Tokenizer.from_file(str(MODEL / "tokenizer.json"))
    ids = tokenizer.encode("<tool_call></tool_call><|im_end|>").ids
    assert len(ids) == 3
    assert tokenizer.decode(ids) == "<tool_call></tool_call>"
