"""Each grader takes the right answer and refuses the near miss."""

import pytest

from worker.novice.chat import Json, Message
from worker.novice.evaluate import SETS, evaluate, load_items, scores
from worker.novice.grade import Call, Entries, Exact, Grader, Letters, Number, Says, Story
from worker.novice.grade import Json as JsonValue

FRUITS = ("apple", "pear", "plum")
TALE = "Rosa had a hat. The wind took it away from her. Gus ran and ran behind it all day. "
TALE += "At last he found it in a tree and Rosa was very happy."

RIGHT: list[tuple[Grader, str]] = [
    (Exact("My cat."), "My cat.\n"),
    (Number(7), "3 + 4 = 7"),
    (Number(-2), "3 - 5 = -2"),
    (Letters("cat"), "c-a-t"),
    (Letters("cat", after="tac"), "c-a-t backwards is t-a-c"),
    (Says(("hello|hi",), ("bye",)), "Hello!"),
    (Entries(2, FRUITS), "1. Apple\n2. plum"),
    (Entries(2, FRUITS, commas=True), "apple, plum"),
    (JsonValue({"a": 1, "b": [True]}), '{"b": [true], "a": 1}'),
    (Call("f", {"n": 2}), '<tool_call>\n{"name": "f", "arguments": {"n": 2}}\n</tool_call>'),
    (Story(("Rosa", "Gus")), TALE),
]
WRONG: list[tuple[Grader, str]] = [
    (Exact("My cat."), "My cat"),
    (Number(7), "3 + 4 = 17"),
    (Number(7), "7 is the answer to 3 + 4"),
    (Number(2), "3 - 5 = -2"),
    (Letters("cat"), "c-a-a-t"),
    (Letters("cat"), "c-a-t t-a-c"),
    (Letters("cat", after="tac"), "c-a-t"),
    (Says(("hello",), ("bye",)), "Hello and bye!"),
    (Says(("hello",), most_words=3), "Hello my dear old friend"),
    (Says(()), ""),
    (Entries(2, FRUITS), "1. apple\n2. apple"),
    (Entries(2, FRUITS), "1. apple\n2. pear\n3. plum"),
    (Entries(2, FRUITS), "1. apple\n2. stone"),
    (Entries(2, FRUITS), "apple\nplum"),
    (JsonValue({"a": 1}), '{"a": true}'),
    (JsonValue({"a": 1}), '{"a": 1, "b": 2}'),
    (JsonValue({"a": 1}), 'Here you are: {"a": 1}'),
    (Call("f", {"n": 2}), '<tool_call>\n{"name": "f", "arguments": {"n": "2"}}\n</tool_call>'),
    (Call("f", {"n": 2}), '{"name": "f", "arguments": {"n": 2}}'),
    (Story(("Rosa", "Ada")), TALE),
    (Story(("Rosa",)), TALE + " Rosa had a hat."),
    (Story(("Rosa",)), TALE.removesuffix(".")),
    (Story(("Rosa",)), "Rosa slept. The end."),
]


@pytest.mark.parametrize(("grader", "answer"), RIGHT)
def test_right_answer_is_accepted(grader: Grader, answer: str) -> None:
    assert grader.accepts(answer)


@pytest.mark.parametrize(("grader", "answer"), WRONG)
def test_wrong_answer_is_refused(grader: Grader, answer: str) -> None:
    assert not grader.accepts(answer)


@pytest.mark.parametrize("which", SETS)
def test_no_item_accepts_silence_or_chatter(which: str) -> None:
    for item in load_items(which):
        assert not item.grader.accepts("")
        assert not item.grader.accepts("Blue ideas sleep.")


def test_sets_have_the_promised_size() -> None:
    first, final = (list(load_items(which)) for which in SETS)
    assert len(first) >= 120
    assert len(final) >= 100
    skills = {item.skill for item in first}
    assert skills == {item.skill for item in final}
    assert all(sum(item.skill == skill for item in first) >= 12 for skill in skills)


def test_scores_are_shares_by_skill() -> None:
    def mute(messages: object, tools: object) -> str:
        return ""

    told = scores(evaluate(mute, list(load_items("release"))))
    assert told["overall"] == 0.0
    assert len(told) == 13


def test_generate_sees_messages_and_tools_of_the_item() -> None:
    seen: list[tuple[int, int]] = []

    def note(messages: "tuple[Message, ...]", tools: "tuple[Json, ...]") -> str:
        seen.append((len(messages), len(tools)))
        return ""

    evaluate(note, list(load_items("release")))  # type: ignore[arg-type]
    assert max(seen)[0] >= 3
    assert {tools for _, tools in seen} >= {0, 1, 2}
