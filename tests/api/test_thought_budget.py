"""A thought ends at its request's budget, to the token, and the answer goes on behind it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI

from tests.api.claude import ROUTE, asked, both, sdk_at
from tests.api.conftest import chat, client
from tests.contract.alphabet import LETTERS
from tests.contract.rig import SpelledEngine
from tests.fakes.templates import ALWAYS_THINKING, HERMES
from tests.fakes.vocabulary import CONTROL, byte_tokenizer, write_folder
from worker.api.app import create_app
from worker.api.served import Served
from worker.api.thought_budget import ThoughtBudget
from worker.engine.limits import Limits
from worker.engine.request import Token

CHAT = "/v1/chat/completions"
SPELLED, ADDED = CONTROL, (*CONTROL, "<think>", "</think>")


def load(folder: Path, control: tuple[str, ...], template: str = ALWAYS_THINKING) -> Served:
    write_folder(folder, byte_tokenizer(control), template=template)
    return Served.load(folder, name="tiny", context_length=300)


@pytest.fixture(params=[SPELLED, ADDED], ids=["spelled", "added"])
def served(request: pytest.FixtureRequest, tmp_path: Path) -> Served:
    return load(tmp_path, request.param)


@pytest.fixture
def engine(served: Served) -> Iterator[SpelledEngine]:
    """Says the alphabet, in its thought too, and never ends a thought by itself."""
    engine = SpelledEngine(served, Limits())
    engine.start()
    yield engine
    engine.close()


@pytest.fixture
def app(served: Served, engine: SpelledEngine) -> FastAPI:
    return create_app(served, engine)


async def message(app: FastAPI, **fields: Any) -> dict[str, Any]:
    async with client(app) as http:
        answer = await http.post(CHAT, json=chat(**fields))
    assert answer.status_code == 200, answer.text
    told: dict[str, Any] = answer.json()["choices"][0]["message"]
    return told


@pytest.mark.parametrize("budget", [1, 5, 25])
async def test_thought_ends_at_its_budget_to_the_token(
    budget: int, app: FastAPI, engine: SpelledEngine, served: Served
) -> None:
    told = await message(app, thinking_token_budget=budget)
    assert (told["reasoning_content"], told["content"]) == (LETTERS[:budget], LETTERS)
    events = engine.events[engine.requests[0].id]
    ids = [event.id for event in events if isinstance(event, Token)]
    mark = served.tokenizer.encode("\n</think>\n\n")
    assert ids[budget : budget + len(mark)] == mark


async def test_no_budget_means_no_thought(app: FastAPI) -> None:
    told = await message(app, thinking_token_budget=0)
    assert (told.get("reasoning_content"), told["content"]) == (None, LETTERS)


async def test_all_choices_keep_it(app: FastAPI) -> None:
    async with client(app) as http:
        answer = await http.post(CHAT, json=chat(thinking_token_budget=3, n=2))
    thoughts = [one["message"]["reasoning_content"] for one in answer.json()["choices"]]
    assert thoughts == ["abc", "abc"]


async def test_thought_shorter_than_its_budget_is_as_without_one(app: FastAPI) -> None:
    assert await message(app, thinking_token_budget=200) == await message(app)


def test_anthropic_s_budget_is_kept_whole_and_streamed(app: FastAPI) -> None:
    thinking = {"type": "enabled", "budget_tokens": 4}
    with sdk_at(app) as sdk:
        whole, _ = both(sdk, thinking=thinking)
    thought, text = whole.content
    assert (thought.type, thought.thinking) == ("thinking", "abcd")
    assert (text.type, text.text) == ("text", LETTERS)


async def test_budget_must_leave_room_for_an_answer(app: FastAPI) -> None:
    thinking = {"type": "enabled", "budget_tokens": 50}
    async with client(app) as http:
        refused = await http.post(ROUTE, json=asked(thinking=thinking, max_tokens=50))
    assert refused.status_code == 400
    assert refused.json()["error"]["message"].startswith("thinking.budget_tokens: 50 must be less")


@pytest.mark.parametrize(
    ("template", "param", "fields"),
    [
        (HERMES, "thinking_token_budget", {}),
        (ALWAYS_THINKING, "min_tokens", {"min_tokens": 2}),
        (ALWAYS_THINKING, "thinking_token_budget", {"thinking_token_budget": -1}),
    ],
)
async def test_what_cannot_be_kept_is_refused(
    template: str, param: str, fields: dict[str, Any], tmp_path: Path
) -> None:
    served = load(tmp_path / "model", ADDED, template)
    engine = SpelledEngine(served, Limits())
    async with client(create_app(served, engine)) as http:
        answer = await http.post(CHAT, json=chat(**{"thinking_token_budget": 5, **fields}))
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)
    assert engine.requests == []


def forced(served: Served, tokens: int, said: str, *, thinking: bool) -> str:
    """What must follow `said`, and is then said; empty where all may."""
    thought = ThoughtBudget(tokens, served.tokenizer, served.vocabulary_size, thinking=thinking)
    constraint, text = thought.begin(), ""
    for id in served.tokenizer.encode(said):
        assert constraint.allowed()[id // 8] >> id % 8 & 1, "it may be said"
        assert constraint.take(id)
    while (bits := int.from_bytes(constraint.allowed(), "little")).bit_count() == 1:
        assert not constraint.take(bits.bit_length())
        assert constraint.take(bits.bit_length() - 1)
        text += served.tokenizer.decode([bits.bit_length() - 1])
    return text


def test_thought_that_the_model_begins_is_bounded(served: Served) -> None:
    assert forced(served, 3, "\n<think>abc", thinking=False) == "\n</think>\n\n"
    assert forced(served, 3, "\n<think>ab", thinking=False) == ""


def test_answer_without_a_thought_is_free(served: Served) -> None:
    assert forced(served, 2, "no <think>, none", thinking=False) == ""


def test_thought_that_ends_in_time_is_free_behind_it(served: Served) -> None:
    assert forced(served, 20, "ab</think>" + 30 * "c", thinking=True) == ""


def test_mark_that_the_model_has_begun_is_completed(tmp_path: Path) -> None:
    assert forced(load(tmp_path, SPELLED), 6, "ab</th", thinking=True) == "ink>\n\n"
