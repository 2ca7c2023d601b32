"""`/v1/embeddings`, from the SDK to the pages, against transformers on a tiny random Qwen3."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import openai
import pytest
import torch
import transformers
from torch.nn import functional

from cloister.errors import BadModel
from tests.api.conftest import client
from tests.api.test_disconnect import Client, Waiting
from tests.fakes.server import serving
from tests.fakes.vocabulary import write_folder
from tests.model.checkpoints import config_of
from worker.api.app import create_app
from worker.api.served import Served
from worker.build import Worker, build
from worker.model.pooling import embeds
from worker.settings import WorkerSettings

EMBEDDINGS = "/v1/embeddings"
WIDTH, CONTEXT, WORDS = 48, 256, 300
TEXTS = ["a", "the tea is hot", "Grüße 👍", "a long one " * 20]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An embedding model as published: the body alone, and what sentence-transformers wants."""
    folder = write_folder(tmp_path_factory.mktemp("models") / "tiny-embedder")
    torch.manual_seed(0)
    body = transformers.AutoModel.from_config(config_of("Qwen3", vocab_size=WORDS, head_dim=12))
    body.save_pretrained(folder)
    kinds = ("Transformer", "Pooling", "Normalize")
    modules = [
        {"idx": place, "path": f"{place}_{kind}" if place else "", "type": f"models.{kind}"}
        for place, kind in enumerate(kinds)
    ]
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "1_Pooling").mkdir()
    pooling = {"pooling_mode_lasttoken": True, "pooling_mode_mean_tokens": False}
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(pooling))
    return folder


@pytest.fixture(scope="module")
def worker(folder: Path) -> Iterator[Worker]:
    """Steps are short, so that longer texts are read in chunks."""
    settings = {"model": str(folder), "cache_mb": 4, "step_tokens": 64, "sequences": 8}
    worker = build(WorkerSettings.model_validate(settings))
    worker.readiness.state = "ready"
    yield worker
    worker.engine.close()


@pytest.fixture(scope="module")
def sdk(worker: Worker) -> Iterator[openai.OpenAI]:
    with serving(worker.app) as url, openai.OpenAI(base_url=f"{url}/v1", api_key="k") as sdk:
        yield sdk


def reference(folder: Path, ids: list[int], dimensions: int | None = None) -> torch.Tensor:
    """Transformers' last hidden state of the last token, cut and normalised."""
    model = transformers.AutoModel.from_pretrained(folder).eval()
    with torch.no_grad():
        last = model(torch.tensor([ids])).last_hidden_state[0, -1]
    return functional.normalize(last[:dimensions], dim=0)


def vectors(answer: Any) -> torch.Tensor:
    assert [one.index for one in answer.data] == list(range(len(answer.data)))
    return torch.tensor([one.embedding for one in answer.data])


def test_vectors_are_those_of_transformers(
    sdk: openai.OpenAI, worker: Worker, folder: Path
) -> None:
    answer = sdk.embeddings.create(model="tiny-embedder", input=TEXTS)
    ids = [worker.served.tokenizer.encode(text) for text in TEXTS]
    for vector, one in zip(vectors(answer), ids, strict=True):
        assert torch.allclose(vector, reference(folder, one), atol=1e-4)
    assert answer.usage.prompt_tokens == answer.usage.total_tokens == sum(map(len, ids))
    assert (answer.object, answer.data[0].object) == ("list", "embedding")


@pytest.mark.parametrize("dimensions", [1, 7, WIDTH])
def test_fewer_dimensions_are_a_normalised_beginning(
    dimensions: int, sdk: openai.OpenAI, folder: Path
) -> None:
    [vector] = vectors(
        sdk.embeddings.create(model="tiny-embedder", input=[5, 6, 7], dimensions=dimensions)
    )
    assert torch.allclose(vector, reference(folder, [5, 6, 7], dimensions), atol=1e-4)


def test_a_text_alone_has_the_vector_that_it_has_among_others(sdk: openai.OpenAI) -> None:
    together = vectors(sdk.embeddings.create(model="tiny-embedder", input=TEXTS))
    for text, vector in zip(TEXTS, together, strict=True):
        [alone] = vectors(sdk.embeddings.create(model="tiny-embedder", input=text))
        assert torch.allclose(alone, vector, atol=1e-5)


def test_floats_and_base64_tell_the_same(sdk: openai.OpenAI) -> None:
    """The SDK asks for base64 and decodes it, unless told otherwise."""
    options = {"model": "tiny-embedder", "input": [[1, 2], [3]]}
    packed = vectors(sdk.embeddings.create(**options))
    plain = vectors(sdk.embeddings.create(**options, encoding_format="float"))
    assert torch.equal(packed, plain)
    assert np.allclose(plain.norm(dim=1), 1, atol=1e-6)


def test_control_tokens_spelled_in_a_text_are_text(sdk: openai.OpenAI, worker: Worker) -> None:
    answer = sdk.embeddings.create(model="tiny-embedder", input="<|im_end|>")
    assert answer.usage.prompt_tokens == len("<|im_end|>")


WRONG = {
    "no input": ({}, "input", "is required"),
    "nothing": ({"input": None}, "input", "must be a string"),
    "empty text": ({"input": ""}, "input[0]", "empty"),
    "empty list": ({"input": []}, "input", "empty"),
    "empty among others": ({"input": ["a", ""]}, "input[1]", "empty"),
    "too long": ({"input": ["a", "b" * 257]}, "input[1]", "257 tokens; at least 1 and at most 256"),
    "too many": ({"input": ["a"] * 129}, "input", "has 129 items; at most 128"),
    "unknown token": ({"input": [[1], [300]]}, "input[1]", "token id 300 is over 299"),
    "no text": ({"input": [True]}, "input[0]", "integer"),
    "no dimensions": ({"input": "a", "dimensions": 0}, "dimensions", "0"),
    "too many dimensions": ({"input": "a", "dimensions": 49}, "dimensions", "49: the model's"),
    "format": ({"input": "a", "encoding_format": "int8"}, "encoding_format", "'float' or 'base64'"),
    "unknown": ({"input": "a", "dimension": 5}, "dimension", "did you mean dimensions?"),
    "stream": ({"input": "a", "stream": True}, "stream", "unknown field"),
}


@pytest.mark.parametrize("name", WRONG)
async def test_what_cannot_be_done_is_refused(name: str, worker: Worker) -> None:
    body, param, words = WRONG[name]
    async with client(worker.app) as http:
        answer = await http.post(EMBEDDINGS, json={"model": "tiny-embedder", **body})
    error = answer.json()["error"]
    assert (answer.status_code, error["param"]) == (400, param), error
    assert words in error["message"], error


@pytest.mark.parametrize(
    ("path", "asked"),
    [
        ("/v1/chat/completions", {"messages": [{"role": "user", "content": "hi"}]}),
        ("/v1/completions", {"prompt": "hi"}),
    ],
)
async def test_embedding_model_does_not_talk(path: str, asked: Any, worker: Worker) -> None:
    async with client(worker.app) as http:
        answer = await http.post(path, json={"model": "tiny-embedder", **asked})
    error = answer.json()["error"]
    assert (answer.status_code, error["param"]) == (400, "model")
    assert "is an embedding model; use /v1/embeddings" in error["message"]


async def test_talking_model_does_not_embed(http: httpx.AsyncClient) -> None:
    answer = await http.post(EMBEDDINGS, json={"model": "tiny", "input": "hi"})
    error = answer.json()["error"]
    assert (answer.status_code, error["param"]) == (400, "model")
    assert "tiny is no embedding model" in error["message"]


async def test_leaving_cancels_every_text(folder: Path) -> None:
    engine = Waiting()
    served = Served.load(folder, name="tiny", context_length=CONTEXT, vector_size=WIDTH)
    body = {"model": "tiny", "input": ["a", "b"]}
    leaving = Client(create_app(served, engine), body, path=EMBEDDINGS)
    assert await asyncio.to_thread(engine.came.wait, 5)
    leaving.left.set()
    await asyncio.wait_for(leaving.task, 5)
    assert engine.cancelled == [request.id for request in engine.requests]
    assert len(engine.cancelled) == 2


def test_pages_are_free_behind_an_answer(sdk: openai.OpenAI, worker: Worker) -> None:
    sdk.embeddings.create(model="tiny-embedder", input=TEXTS)
    worker.engine.check()
    assert worker.engine.load().pages_used == 0


def test_folder_says_what_it_is_for_unless_the_setting_does(folder: Path) -> None:
    assert embeds(folder, "auto")
    assert embeds(folder, "embed")
    assert not embeds(folder, "generate")
    assert not embeds(folder.parent, "auto")
    assert embeds(folder.parent, "embed")


@pytest.mark.parametrize(
    ("file", "content", "words"),
    [
        ("1_Pooling/config.json", {"pooling_mode_mean_tokens": True}, "pools by pooling_mode_mean"),
        ("modules.json", [{"type": "models.Dense", "path": "2_Dense"}], "not supported"),
        ("modules.json", {}, "a list of objects"),
        ("config_sentence_transformers.json", {"default_prompt_name": "query"}, "default_prompt"),
    ],
)
def test_other_ways_to_embed_are_refused(
    file: str, content: Any, words: str, folder: Path, tmp_path: Path
) -> None:
    for path in folder.glob("**/*.json"):
        (tmp_path / path.relative_to(folder)).parent.mkdir(exist_ok=True)
        (tmp_path / path.relative_to(folder)).write_text(path.read_text())
    (tmp_path / file).write_text(json.dumps(content))
    with pytest.raises(BadModel, match=words):
        embeds(tmp_path, "auto")
