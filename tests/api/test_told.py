"""What is told about each token: in step with the text, whole as streamed, and true."""

import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import openai
import pytest
from openai.lib.streaming.chat import ChatCompletionStreamState

from tests.api.conftest import chat, client
from tests.api.living import RecordingEngine, living
from tests.api.test_chat import CHAT, COMPLETIONS, events
from tests.api.test_choices import ASKED, answer, texts
from tests.api.test_sdk import HI
from tests.fakes.engine import FakeEngine
from tests.fakes.server import serving
from tests.fakes.vocabulary import byte_tokenizer, llama2_tokenizer, write_folder
from worker.api.entries import Entries
from worker.api.padding import padding
from worker.api.served import Served
from worker.api.tokenizer import Tokenizer
from worker.engine.request import Finish, Logprob, Token

Alive = tuple[httpx.AsyncClient, RecordingEngine]


@pytest.fixture
async def alive(served: Served) -> AsyncIterator[Alive]:
    with living(served) as (app, engine):
        async with client(app) as http:
            yield http, engine


@pytest.fixture
def sdk(served: Served) -> Iterator[openai.OpenAI]:
    with (
        living(served) as (app, _),
        serving(app) as url,
        openai.OpenAI(
            base_url=f"{url}/v1", api_key="k", max_retries=0, _strict_response_validation=True
        ) as client,
    ):
        yield client


def joined_bytes(content: list[dict[str, Any]]) -> bytes:
    return bytes(byte for entry in content for byte in entry["bytes"])


@pytest.mark.parametrize("obfuscation", [True, False])
def test_three_choices_streamed_equal_the_whole_in_the_sdk(
    obfuscation: bool, sdk: openai.OpenAI
) -> None:
    asked: Any = {"model": "tiny", "messages": HI, "seed": 3, "n": 3, "max_tokens": 40}
    asked |= {"logprobs": True, "top_logprobs": 2, "stop": ["\n", "ab"]}
    whole = sdk.chat.completions.create(**asked)
    state = ChatCompletionStreamState()
    options: Any = {"include_usage": True, "include_obfuscation": obfuscation}
    with sdk.chat.completions.create(**asked, stream=True, stream_options=options) as stream:
        for chunk in stream:
            state.handle_chunk(chunk)
    joined = state.current_completion_snapshot
    assert list(map(told_of, joined.choices)) == list(map(told_of, whole.choices))
    assert {choice.message.role for choice in joined.choices} == {"assistant"}
    assert joined.usage is not None
    assert whole.usage is not None
    assert joined.usage.completion_tokens == whole.usage.completion_tokens
    assert joined.usage.prompt_tokens == whole.usage.prompt_tokens


def told_of(choice: Any) -> list[Any]:
    """What whole and streamed choices of the SDK have in common."""
    assert choice.logprobs.content
    entries = [entry.to_dict() for entry in choice.logprobs.content]
    return [choice.index, choice.finish_reason, choice.message.content, entries]


async def test_bytes_joined_are_the_text(alive: Alive, served: Served) -> None:
    http, _ = alive
    body = chat(n=8, seed=1, max_tokens=60, logprobs=True)
    for choice in (await answer(http, CHAT, body))["choices"]:
        told = joined_bytes(choice["logprobs"]["content"]).decode(errors="replace")
        assert told.rstrip("\ufffd") == choice["message"]["content"]
    halves = [id for id in range(256) if served.tokenizer.bytes_of(id) >= b"\x80"]
    body["logit_bias"] = {str(id): -100 for id in halves}
    for choice in (await answer(http, CHAT, body))["choices"]:
        assert joined_bytes(choice["logprobs"]["content"]) == choice["message"]["content"].encode()


async def test_values_are_those_of_the_model_before_sampling(alive: Alive) -> None:
    http, engine = alive
    body = chat(seed=1, max_tokens=5, logprobs=True, top_logprobs=20, temperature=0, min_p=0.5)
    plain = (await answer(http, CHAT, body))["choices"][0]["logprobs"]["content"]
    biased = {**body, "presence_penalty": 1, "logit_bias": {"3": -5}}
    again = (await answer(http, CHAT, biased))["choices"][0]["logprobs"]["content"]
    assert again[0] == plain[0]
    assert [len(entry["top_logprobs"]) for entry in plain] == [20] * 5
    for entry in plain:
        assert entry["top_logprobs"][0] == {
            name: entry[name] for name in ("token", "logprob", "bytes")
        }
    values = [token.logprob.value for heard in engine.events.values() for token in heard]  # type: ignore[union-attr]
    assert values[:5] == [entry["logprob"] for entry in plain]


def token(place: int, text: str, settled: int, finish: Finish | None = None) -> Token:
    id = byte_tokenizer().token_to_id("a") + place
    return Token(id, text, finish, place + 1, 0, Logprob(-1.0, ()), settled)


async def test_entries_come_with_the_text_that_they_belong_to(
    http: httpx.AsyncClient, engine: FakeEngine
) -> None:
    script = [token(0, "a", 1), token(1, "", 1), token(2, "bc", 3), token(3, "", 4, Finish.LENGTH)]
    engine.script = script
    found = events((await http.post(CHAT, json=chat(stream=True, logprobs=True))).content)
    told = [event["choices"][0]["logprobs"] for event in found]
    assert told[0] is None  # with the role
    assert [[entry["token"] for entry in one["content"]] for one in told[1:]] == [
        ["a"],
        ["b", "c"],
        ["d"],
    ]
    silent = events((await http.post(CHAT, json=chat(stream=True))).content)
    assert {event["choices"][0]["logprobs"] for event in silent} == {None}


async def test_legacy_shape_has_tokens_values_and_places(alive: Alive) -> None:
    http, _ = alive
    body = {**ASKED, "prompt": "one", "logprobs": 3}
    choice = (await answer(http, COMPLETIONS, body))["choices"][0]
    told = choice["logprobs"]
    assert {len(values) for values in told.values()} == {12}
    for name, value, top in zip(
        told["tokens"], told["token_logprobs"], told["top_logprobs"], strict=True
    ):
        assert 3 <= len(top) <= 4
        assert top[name] == value
    streamed = events((await http.post(COMPLETIONS, json={**body, "stream": True})).content)
    parts = [event["choices"][0]["logprobs"] for event in streamed]
    assert told == {name: [item for part in parts if part for item in part[name]] for name in told}


async def test_offsets_count_characters_of_the_text(
    http: httpx.AsyncClient, engine: FakeEngine
) -> None:
    ids = [byte_tokenizer().encode(text).ids for text in ("é", "ab")]
    (half, other), (a, b) = ids
    values = Logprob(-1.0, ())
    engine.script = [
        Token(half, "", None, 1, 0, values, 0),
        Token(other, "é", None, 2, 0, values, 2),
        Token(a, "a", None, 3, 0, values, 3),
        Token(b, "b", Finish.STOP, 4, 0, values, 4),
    ]
    body = {"model": "tiny", "prompt": "hi", "logprobs": 0}
    told = (await answer(http, COMPLETIONS, body))["choices"][0]["logprobs"]
    assert told["tokens"] == ["bytes:\\xc3", "bytes:\\xa9", "a", "b"]
    assert told["text_offset"] == [0, 0, 1, 2]


async def test_echo_begins_with_the_prompt(alive: Alive) -> None:
    http, _ = alive
    prompt = "Say é<|im_end|> "
    body = {**ASKED, "prompt": prompt, "n": 2}
    plain = await answer(http, COMPLETIONS, body)
    echoed = await answer(http, COMPLETIONS, {**body, "echo": True, "logprobs": 2})
    assert texts(echoed) == [prompt + text for text in texts(plain)]
    first, second = (choice["logprobs"] for choice in echoed["choices"])
    count = len(prompt.encode()) - len("<|im_end|>") + 1
    assert first["token_logprobs"][0] is first["top_logprobs"][0] is None
    assert all(value <= 0 for value in first["token_logprobs"][1:])
    assert first["token_logprobs"][:count] == second["token_logprobs"][:count]
    assert [first["tokens"][count - 2], first["text_offset"][count - 1]] == [
        "<|im_end|>",
        len(prompt) - 1,
    ]
    assert len(first["tokens"]) == count + 12
    streamed = events(
        (
            await http.post(COMPLETIONS, json={**body, "echo": True, "logprobs": 2, "stream": True})
        ).content
    )
    for place, whole in enumerate(echoed["choices"]):
        mine = [event["choices"][0] for event in streamed if event["choices"][0]["index"] == place]
        assert "".join(choice["text"] for choice in mine) == whole["text"]
        values = [choice["logprobs"]["token_logprobs"] for choice in mine if choice["logprobs"]]
        assert [value for part in values for value in part] == whole["logprobs"]["token_logprobs"]


async def test_echoed_values_are_those_with_which_the_text_was_chosen(alive: Alive) -> None:
    http, engine = alive
    first = await answer(http, COMPLETIONS, {**ASKED, "prompt": "one", "logprobs": 2})
    (request,) = engine.requests
    chosen = [heard.id for heard in engine.events[request.id]]  # type: ignore[union-attr]
    body = {"model": "tiny", "prompt": [*request.prompt, *chosen], "logprobs": 2}
    scored = await answer(http, COMPLETIONS, {**body, "echo": True, "max_tokens": 0})
    told, known = scored["choices"][0]["logprobs"], first["choices"][0]["logprobs"]
    assert told["token_logprobs"][-12:] == pytest.approx(known["token_logprobs"])
    assert told["top_logprobs"][-12:] == [pytest.approx(top) for top in known["top_logprobs"]]
    assert len(told["tokens"]) == 15
    assert scored["choices"][0]["finish_reason"] == "length"
    assert scored["usage"]["completion_tokens"] == 0
    stream = await http.post(
        COMPLETIONS, json={**body, "echo": True, "max_tokens": 0, "stream": True}
    )
    parts = [event["choices"][0]["text"] for event in events(stream.content)]
    assert "".join(parts) == scored["choices"][0]["text"]


@pytest.mark.parametrize("text", ["a", "é👍", " and then", "\n"])
async def test_obfuscated_chunks_do_not_tell_the_length_of_a_token(
    text: str, http: httpx.AsyncClient, engine: FakeEngine
) -> None:
    engine.script = [Token(1, text, Finish.STOP, 1, 0)]
    sizes = set()
    for _ in range(3):
        body = chat(stream=True, stream_options={"include_obfuscation": True})
        found = events((await http.post(CHAT, json=body)).content)
        for event in found:
            choice = json.dumps(event["choices"][0], separators=(",", ":"))
            sizes.add(len(choice) + len(event["obfuscation"]))
    assert sizes == {128}


def test_padding_fills_buckets_with_chance() -> None:
    assert [len(padding(size)) + size for size in (1, 128, 129, 1000)] == [128, 128, 256, 1024]
    assert padding(40) != padding(40)


def test_bytes_of_sentencepiece_tokens(tmp_path: Any) -> None:
    tokenizer = Tokenizer.load(write_folder(tmp_path, llama2_tokenizer(), eos="</s>"))
    ids = tokenizer.encode("hello a é", add_special_tokens=False)
    entries = Entries(tokenizer, drop_first_space=True)
    told = [entries.add(id, None) for id in [1, *ids, 2, 10_000]]
    assert b"".join(entry.word.data for entry in told).decode() == "hello a é"
    assert (told[0].word.text, told[0].word.data) == ("<s>", b"")


@pytest.mark.parametrize("make", [byte_tokenizer, llama2_tokenizer])
def test_every_token_s_bytes_are_its_text(make: Any, tmp_path: Any) -> None:
    tokenizer = Tokenizer.load(write_folder(tmp_path, make()))
    for id in range(tokenizer.size):
        assert tokenizer.bytes_of(id).decode(errors="replace") == tokenizer.decode([id])


def test_completions_of_several_prompts_satisfy_the_strict_sdk(sdk: openai.OpenAI) -> None:
    asked: Any = {"model": "tiny", "prompt": ["a", "b"], "n": 2, "logprobs": 2, "seed": 1}
    answer = sdk.completions.create(**asked)
    assert [choice.index for choice in answer.choices] == [0, 1, 2, 3]
    for choice in answer.choices:
        assert choice.logprobs is not None
        assert choice.logprobs.token_logprobs is not None
        assert len(choice.logprobs.tokens or ()) == len(choice.logprobs.token_logprobs)
