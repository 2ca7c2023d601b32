"""`/tokenize` and `/detokenize` tell what a prompt comes to when it is answered."""

from pathlib import Path
from typing import Any

import httpx
import pytest
from transformers import PreTrainedTokenizerFast

from cloister.wire.tokens import MAX_BYTES
from tests.api.conftest import CONTEXT, chat, client
from tests.fakes.engine import FakeEngine
from tests.fakes.templates import HERMES
from tests.fakes.vocabulary import llama2_tokenizer, write_folder
from worker.api.app import create_app
from worker.api.served import Served

TALK = [{"role": "user", "content": "hé <|im_end|>"}]
CONTINUE = "continue_final_message"
TOOL = {"type": "function", "function": {"name": "get"}}


async def tokenize(http: httpx.AsyncClient, **asked: Any) -> Any:
    answer = await http.post("/tokenize", json=asked)
    assert answer.status_code == 200, answer.text
    return answer.json()


@pytest.mark.parametrize("text", ["hé 👍", "<|im_start|>x<|im_end|>", ""])
async def test_prompt_there_and_back(http: httpx.AsyncClient, text: str) -> None:
    told = await tokenize(http, model="tiny", prompt=text)
    assert (told["count"], told["max_model_len"]) == (len(told["tokens"]), CONTEXT)
    assert told["token_strs"] is None
    back = await http.post("/detokenize", json={"tokens": told["tokens"]})
    assert back.json() == {"prompt": text}


async def test_strings_are_the_vocabulary_s(http: httpx.AsyncClient) -> None:
    told = await tokenize(http, prompt="a é<|im_end|>", return_token_strs=True)
    assert told["token_strs"] == ["a", "Ġ", "Ã", "©", "<|im_end|>"]


async def test_tokens_are_those_of_the_answered_request(
    http: httpx.AsyncClient, engine: FakeEngine
) -> None:
    asked = chat("hé <|im_end|>", tools=[])
    await http.post("/v1/chat/completions", json=asked)
    await http.post("/v1/completions", json={"model": "tiny", "prompt": "<|im_end|>x"})
    told = [await tokenize(http, **asked), await tokenize(http, prompt="<|im_end|>x")]
    assert [tuple(one["tokens"]) for one in told] == [one.prompt for one in engine.requests]


async def test_special_tokens_and_the_assistant_s_turn_can_be_left_out(tmp_path: Path) -> None:
    template = "{{ bos_token }}{% for m in messages %}{{ m.content }}{% endfor %}"
    template += "{% if tools %}tools{% endif %}{% if add_generation_prompt %}he{% endif %}"
    write_folder(tmp_path, llama2_tokenizer(), template=template, eos="</s>", bos_token="<s>")
    served = Served.load(tmp_path, name="tiny", context_length=CONTEXT)
    theirs = PreTrainedTokenizerFast.from_pretrained(tmp_path)
    async with client(create_app(served, FakeEngine())) as http:
        for begins in (True, False):
            expected = theirs.apply_chat_template(
                TALK, add_generation_prompt=begins, tokenize=True, return_dict=False
            )
            told = await tokenize(http, messages=TALK, add_generation_prompt=begins)
            assert told["tokens"] == expected
        for special in (True, False):
            told = await tokenize(http, prompt="hello", add_special_tokens=special)
            assert told["tokens"] == theirs("hello", add_special_tokens=special).input_ids


async def test_tools_are_counted(tmp_path: Path) -> None:
    served = Served.load(write_folder(tmp_path, template=HERMES), name="tiny", context_length=9)
    async with client(create_app(served, FakeEngine())) as http:
        plain = await tokenize(http, messages=TALK)
        longer = await tokenize(http, messages=TALK, tools=[TOOL])
    assert longer["count"] > plain["count"] > 9  # more than the context may hold


@pytest.mark.parametrize(
    ("route", "asked", "status", "param"),
    [
        ("tokenize", {}, 400, "prompt"),
        ("tokenize", {"prompt": "a", "messages": TALK}, 400, "prompt"),
        ("tokenize", {"prompt": "a", "tools": []}, 400, "tools"),
        ("tokenize", {"prompt": ["a"]}, 400, "prompt"),
        ("tokenize", {"messages": [{"role": "x"}]}, 400, "messages[0].role"),
        ("tokenize", {"messages": [{"role": "assistant"}]}, 400, "messages[0].content"),
        ("tokenize", {"messages": TALK, CONTINUE: True}, 400, CONTINUE),
        ("tokenize", {"prompt": "a", "chat_template": "x"}, 400, "chat_template"),
        ("tokenize", {"prompt": "a", "model": "gpt"}, 404, "model"),
        ("tokenize", {"prompt": "a" * MAX_BYTES}, 413, None),
        ("detokenize", {}, 400, "tokens"),
        ("detokenize", {"tokens": "a"}, 400, "tokens"),
        ("detokenize", {"tokens": [-1]}, 400, "tokens[0]"),
        ("detokenize", {"tokens": [10**6]}, 400, "tokens"),
        ("detokenize", {"tokens": [1], "skip": 1}, 400, "skip"),
    ],
)  # fmt: skip
async def test_what_is_wrong_is_named(
    http: httpx.AsyncClient, route: str, asked: Any, status: int, param: str | None
) -> None:
    answer = await http.post(f"/{route}", json=asked)
    assert answer.status_code == status
    assert answer.json()["error"]["param"] == param


async def test_padded_ids_never_tell_the_shield(tmp_path: Path) -> None:
    folder = write_folder(tmp_path)
    served = Served.load(folder, name="tiny", context_length=CONTEXT, vocabulary_size=300)
    ids = list(range(served.tokenizer.size, 300))
    async with client(create_app(served, FakeEngine())) as http:
        told = await http.post("/detokenize", json={"tokens": ids})
    assert told.json() == {"prompt": ""}
    assert {served.tokenizer.name_of(id) for id in ids} == {""}
