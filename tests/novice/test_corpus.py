"""The corpus never holds what the items ask: by value, by prompt, and by what its code imports."""

import ast
import re
from collections.abc import Sequence
from functools import cache
from itertools import islice
from pathlib import Path
from random import Random

import pytest

from worker.novice.chat import Conversation, Message
from worker.novice.corpus import conversations
from worker.novice.corpus.lists import listing, more_of_it
from worker.novice.corpus.objects import json_object
from worker.novice.corpus.phrase import choose, phrase
from worker.novice.corpus.spelling import spelling
from worker.novice.corpus.sums import arithmetic
from worker.novice.corpus.words import CATEGORIES, NAMES, PLACES
from worker.novice.evaluate import SETS, load_items
from worker.novice.reserve import reserved

NOVICE = Path(__file__).parents[2] / "worker" / "novice"
LEARNS = [*NOVICE.glob("corpus/*.py")]
LEARNS += [NOVICE / f"{name}.py" for name in ("tokenizer", "train", "batches", "schedule")]
SUM = re.compile(r"^(-?\d+) ([+-]) (\d+) =")


@cache
def sample() -> tuple[Conversation, ...]:
    return tuple(islice(conversations(Random(1)), 3000))


def answers(skill: object, count: int = 3000) -> list[str]:
    rng = Random(7)
    return [skill(rng)[-1]["content"] for _ in range(count)]  # type: ignore[operator]


def last_request(messages: Sequence[Message]) -> str:
    return [each["content"] for each in messages if each["role"] == "user"][-1].lower()


@pytest.mark.parametrize("which", SETS)
def test_every_value_of_an_item_is_reserved(which: str) -> None:
    values = [value for item in load_items(which) for value in item.values]
    assert values
    assert [value for value in values if not reserved(*value)] == []


@pytest.mark.parametrize("which", SETS)
def test_no_prompt_of_an_item_occurs_in_the_corpus(which: str) -> None:
    prompts = {last_request(item.messages) for item in load_items(which)}
    spoken = {each["content"].lower() for talk in sample() for each in talk.messages}
    assert prompts & spoken == set()


def test_no_reserved_name_or_place_occurs_in_the_corpus() -> None:
    text = " ".join(each["content"] for talk in sample() for each in talk.messages)
    seen = set(re.findall(r"\w+", text))
    assert {name for name in NAMES if reserved("name", name)} & seen == set()
    assert {place for place in PLACES if reserved("place", place)} & seen == set()


def test_no_reserved_tool_is_offered() -> None:
    names = [tool["function"]["name"] for talk in sample() for tool in talk.tools]
    assert names
    assert [name for name in names if reserved("tool", name)] == []


def test_no_reserved_sum_or_difference_is_calculated() -> None:
    found = [SUM.match(answer) for answer in answers(arithmetic, 20000)]
    for match in filter(None, found):
        a, sign, b = int(match[1]), match[2], int(match[3])
        if sign == "+":
            assert not reserved("sum", f"{min(a, b)}+{max(a, b)}")
        else:
            assert not reserved("difference", f"{a}-{b}")


def test_no_reserved_word_is_spelled() -> None:
    for answer in answers(spelling):
        word = answer.split()[0].replace("-", "")
        assert not reserved("word", word) or word.capitalize() in NAMES


def test_no_reserved_list_is_written() -> None:
    kinds = {word: kind for kind, (_, members) in CATEGORIES.items() for word in members}
    single = {w for w in kinds if sum(w in members for _, members in CATEGORIES.values()) == 1}
    rng = Random(7)
    for _ in range(2000):
        entries = listing(rng)[1]["content"]
        words = re.findall(r"[A-Za-z]+", entries)
        known = [word for word in words if word in single]
        if known:
            assert not reserved("list", f"{kinds[known[0]]}/{len(words)}")
    assert more_of_it(rng)


def test_no_reserved_member_stands_in_json() -> None:
    for answer in answers(json_object):
        assert [key for key in re.findall(r'"(\w+)":', answer) if reserved("member", key)] == []


@pytest.mark.parametrize("path", LEARNS, ids=lambda path: path.name)
def test_nothing_that_learns_reads_the_items(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    imported = {
        name
        for node in ast.walk(tree)
        for name in (
            [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else []
        )
    }
    readers = ("evaluate", "grade", "reference", "items")
    assert not [name for name in imported if name.split(".")[-1] in readers]
    texts = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)}
    assert not [text for text in texts if isinstance(text, str) and "jsonl" in text]


def test_the_same_seed_gives_the_same_corpus() -> None:
    again = tuple(islice(conversations(Random(1)), 100))
    assert again == sample()[:100]
    assert tuple(islice(conversations(Random(2)), 100)) != again


def test_choices_are_picked_innermost_first() -> None:
    picked = {choose(Random(seed), "[a [b|c]|d]") for seed in range(40)}
    assert picked == {"a b", "a c", "d"}


def test_sloppiness_never_touches_a_value() -> None:
    for seed in range(300):
        assert "McGregor [x]" in phrase(
            Random(seed), "[please|now] something longer {name}?", name="McGregor [x]"
        )
