"""What the API takes from a model folder, and what a request may leave open."""

import json
from pathlib import Path
from typing import Any

import pytest
from tokenizers.processors import TemplateProcessing

from cloister.errors import BadModel
from tests.api.conftest import chat, client
from tests.fakes.engine import FakeEngine, tokens
from tests.fakes.vocabulary import llama2_tokenizer, write_folder
from worker.api.app import create_app
from worker.api.served import Served

CHAT = "/v1/chat/completions"


def load(folder: Path, generation: dict[str, Any] | None = None, **options: Any) -> Served:
    write_folder(folder, **options)
    if generation is not None:
        (folder / "generation_config.json").write_text(json.dumps(generation))
    return Served.load(folder, name="tiny", context_length=200)


async def test_model_s_defaults_apply_where_a_request_is_silent(tmp_path: Path) -> None:
    served = load(tmp_path, {"temperature": 0.6, "top_p": 0.9, "top_k": 20})
    engine = FakeEngine()
    async with client(create_app(served, engine)) as http:
        await http.post(CHAT, json=chat())
        await http.post(CHAT, json=chat(temperature=0, top_k=-1))
    silent, told = (request.sampling for request in engine.requests)
    assert (silent.temperature, silent.top_p, silent.top_k) == (0.6, 0.9, 20)
    assert (told.temperature, told.top_p, told.top_k) == (0, 0.9, 0)


def test_without_defaults_temperature_is_one(tmp_path: Path) -> None:
    assert load(tmp_path).defaults.temperature == 1.0


@pytest.mark.parametrize("value", ["hot", -1, 9, float("nan")])
def test_impossible_default_is_a_bad_model(value: Any, tmp_path: Path) -> None:
    with pytest.raises(BadModel, match="temperature"):
        load(tmp_path, {"temperature": value})


def test_fingerprint_is_stable_and_tells_models_apart(tmp_path: Path) -> None:
    first, again = load(tmp_path), load(tmp_path)
    other = Served.load(tmp_path, name="other", context_length=200)
    assert first.fingerprint == again.fingerprint != other.fingerprint


async def test_end_ids_stop_each_request(tmp_path: Path) -> None:
    engine = FakeEngine()
    async with client(create_app(load(tmp_path), engine)) as http:
        await http.post(CHAT, json=chat(stop_token_ids=[7]))
    assert engine.requests[0].stop_ids == {258, 7}


@pytest.mark.parametrize("stream", [True, False])
async def test_sentencepiece_s_first_space_is_dropped_from_a_chat_alone(
    stream: bool, tmp_path: Path
) -> None:
    source = "{{ bos_token }}{{ messages[0].content }}"
    options = {"template": source, "bos_token": "<s>", "eos": "</s>"}
    served = load(tmp_path, tokenizer=llama2_tokenizer(), **options)
    engine = FakeEngine(tokens("", " ", " he", " a"))
    async with client(create_app(served, engine)) as http:
        answer = await http.post(CHAT, json=chat(stream=stream))
        continued = await http.post("/v1/completions", json={"model": "tiny", "prompt": "a"})
    if stream:
        assert '"delta":{"role":"assistant","content":" he"}' in answer.text
    else:
        assert answer.json()["choices"][0]["message"]["content"] == " he a"
    assert continued.json()["choices"][0]["text"] == "  he a"


async def test_completion_has_one_bos_even_if_the_prompt_spells_it(tmp_path: Path) -> None:
    encoder = llama2_tokenizer()
    encoder.post_processor = TemplateProcessing(
        single="<s> $A", pair="<s> $A $B", special_tokens=[("<s>", 1)]
    )
    served = load(tmp_path, tokenizer=encoder, bos_token="<s>", eos="</s>")
    engine = FakeEngine()
    async with client(create_app(served, engine)) as http:
        for prompt in ("a", "<s>a"):
            await http.post("/v1/completions", json={"model": "tiny", "prompt": prompt})
    assert [request.prompt.count(1) for request in engine.requests] == [1, 1]
