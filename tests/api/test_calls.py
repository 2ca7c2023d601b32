"""Calls of tools are read out of text in each family's form; what is no call is never lost."""

import pytest

from worker.api.parts import Arguments, Call, Content, Part, Reader, Reasoning
from worker.api.thinking import ThinkingReader
from worker.api.tools import FORMATS, FormatName, ToolFormat, find_format

NAMES = frozenset({"get", "put"})
FORMAT: dict[str, ToolFormat] = {one.name: one for one in FORMATS}


def joined(parts: list[Part]) -> list[tuple[str, ...]]:
    """Pieces of one thing put together; a call is its name and its arguments."""
    made: list[tuple[str, ...]] = []
    for part in parts:
        match part:
            case Call(_, _, name):
                made.append((name, ""))
            case Arguments(_, text):
                made[-1] = (made[-1][0], made[-1][1] + text)
            case Content(text) | Reasoning(text):
                kind = type(part).__name__.lower()
                if made and made[-1][0] == kind:
                    text = made.pop()[1] + text
                made.append((kind, text))
    return made


def read(reader: Reader, text: str, size: int) -> list[Part]:
    parts: list[Part] = []
    for start in range(0, len(text), size):
        parts += reader.push(text[start : start + size])
    return [*parts, *reader.end()]


READ: dict[str, tuple[FormatName, str, list[tuple[str, ...]]]] = {
    "hermes": (
        "hermes",
        '<tool_call>\n{"name": "get", "arguments": {"a": "}\\"</tool_call>", "b": [1]}}\n'
        "</tool_call>",
        [("get", '{"a": "}\\"</tool_call>", "b": [1]}')],
    ),
    "text and two calls": (
        "hermes",
        'I look. \n<tool_call>\n{"name": "get", "arguments": {}}\n</tool_call>\n'
        '<tool_call>{"name":"put","arguments":{"x":1}}</tool_call>\n',
        [("content", "I look."), ("get", "{}"), ("put", '{"x":1}')],
    ),
    "text behind a call": (
        "hermes",
        '<tool_call>\n{"name": "get", "arguments": {}}\n</tool_call>\nDone.',
        [("get", "{}"), ("content", "\nDone.")],
    ),
    "arguments first": (
        "hermes",
        '<tool_call>{"arguments": {"é": 1}, "name": "get"}</tool_call>',
        [("get", '{"é": 1}')],
    ),
    "arguments as text": (
        "hermes",
        '<tool_call>{"name": "get", "arguments": "{\\"a\\": 1}"}</tool_call>',
        [("get", '{"a": 1}')],
    ),
    "end missing": (
        "hermes",
        '<tool_call>\n{"name": "get", "arguments": {"a": 1}',
        [("get", '{"a": 1}')],
    ),
    "cut": ("hermes", '<tool_call>\n{"name": "get", "arguments": {"a', [("get", '{"a')]),
    "mistral": (
        "mistral",
        'So: [TOOL_CALLS] [{"name": "get", "arguments": {"a": "]"}}, '
        '{"name": "put", "arguments": {}, "id": "abcdefghi"}]',
        [("content", "So:"), ("get", '{"a": "]"}'), ("put", "{}")],
    ),
    "llama": (
        "llama3_json",
        '{"name": "get", "parameters": {"a": {"b": 1}}}',
        [("get", '{"a": {"b": 1}}')],
    ),
    "llama with its tag, twice": (
        "llama3_json",
        '<|python_tag|>{"name": "get", "parameters": {}}; {"name": "put", "parameters": {}}',
        [("get", "{}"), ("put", "{}")],
    ),
    "pythonic": (
        "pythonic",
        '[get(a="x", b=[1, None, {"c": True}]), put()]',
        [("get", '{"a": "x", "b": [1, null, {"c": true}]}'), ("put", "{}")],
    ),
    "pythonic of a mapping": ("pythonic", '[get(**{"a-b": null})]', [("get", '{"a-b": null}')]),
}

PLAIN: dict[str, tuple[FormatName, str]] = {
    "no call": ("hermes", "Just text.\n"),
    "unknown name": ("hermes", '<tool_call>\n{"name": "rm", "arguments": {}}\n</tool_call> x'),
    "no JSON": ("hermes", "I write <tool_call> like that: <tool_call>{no}</tool_call>."),
    "no name": ("hermes", '<tool_call>{"arguments": {}}</tool_call>'),
    "arguments of wrong type": ("hermes", '<tool_call>{"name":"get","arguments":[1]}</tool_call>'),
    "cut before the name": ("hermes", 'a <tool_call>\n{"name": "ge'),
    "half a marker": ("hermes", "a < b and <tool_"),
    "list of something": ("mistral", "[TOOL_CALLS] [1, 2]"),
    "marker alone": ("mistral", "x [TOOL_CALLS] hello"),
    "other JSON": ("llama3_json", '{"name": "Bob", "age": 3}'),
    "JSON behind text": ("llama3_json", 'See {"name": "get", "parameters": {}}'),
    "tag of code": ("llama3_json", "<|python_tag|>print(1)"),
    "a list": ("pythonic", "[1, 2] is a list"),
    "positional": ("pythonic", "[get(1)]"),
    "unknown function": ("pythonic", "[eval(x=1)]"),
    "code as a value": ("pythonic", "[get(x=__import__('os'))]"),
    "unfinished list": ("pythonic", "[get(x=1"),
}


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
@pytest.mark.parametrize("name", READ)
def test_calls_are_read_however_the_text_is_cut(name: str, size: int) -> None:
    format, text, expected = READ[name]
    parts = read(FORMAT[format].reader(NAMES, 9), text, size)
    assert joined(parts) == expected
    indices = [part.index for part in parts if isinstance(part, Call)]
    assert indices == list(range(len(indices)))


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
@pytest.mark.parametrize("name", PLAIN)
def test_what_is_no_call_is_content(name: str, size: int) -> None:
    format, text = PLAIN[name]
    assert joined(read(FORMAT[format].reader(NAMES, 9), text, size)) == [("content", text)]


@pytest.mark.parametrize("format", ["hermes", "mistral", "llama3_json"])
def test_arguments_pass_on_as_they_grow(format: str) -> None:
    one = FORMAT[format]
    reader = one.reader(NAMES, 9)
    opening = f"{one.opening}[" if one.is_list else one.opening
    parts = [*reader.push(opening + one.before.replace("NAME", '"get"') + '{"a')]
    assert isinstance(parts[0], Call)
    assert [*parts[1:], *reader.push('bc"')] == [Arguments(0, '{"a'), Arguments(0, 'bc"')]


TWO_CALLS = {
    "hermes": "text and two calls",
    "mistral": "mistral",
    "llama3_json": "llama with its tag, twice",
}


@pytest.mark.parametrize("format", TWO_CALLS)
def test_no_more_calls_than_allowed(format: str) -> None:
    _, text, _ = READ[TWO_CALLS[format]]
    parts = read(FORMAT[format].reader(NAMES, 1), text, 5)
    assert sum(isinstance(part, Call) for part in parts) == 1
    assert "put" in joined(parts)[-1][1], "the second one is content"


def test_ids_differ_and_suit_the_templates() -> None:
    ids = {FORMAT["hermes"].new_id() for _ in range(100)}
    assert len(ids) == 100
    assert FORMAT["mistral"].new_id().isalnum()
    assert len(FORMAT["mistral"].new_id()) == 9


@pytest.mark.parametrize(
    ("template", "name"),
    [
        ('<tool_call>\\n{\\"name\\": x, \\"arguments\\": y}', "hermes"),
        ('{{ "[TOOL_CALLS] [" }}', "mistral"),
        ('Respond in the format {"name": f, "parameters": p}', "llama3_json"),
        ("You write [func_name1(params_name1=params_value1)]", "pythonic"),
        ("<tool_call><function=f><parameter=p>", None),
        ("{{ messages[0].content }}", None),
    ],
)
def test_format_is_found_in_the_template(template: str, name: str | None) -> None:
    found = find_format(template, "auto")
    assert (found and found.name) == name
    assert find_format(template, "mistral") is FORMAT["mistral"]


THOUGHTS = {
    "a thought": (
        "<think>\nhm\n</think>\n\nYes.",
        False,
        [("reasoning", "hm"), ("content", "Yes.")],
    ),
    "begun by the prompt": (
        "hm, x\n\n</think>\nYes.",
        True,
        [("reasoning", "hm, x"), ("content", "Yes.")],
    ),
    "none": ("Yes <think> no </think>.", False, [("content", "Yes <think> no </think>.")]),
    "an empty one": ("<think>\n\n</think>\n\nYes.", False, [("content", "Yes.")]),
    "cut": ("<think>I wonder </thi", False, [("reasoning", "I wonder </thi")]),
    "half an opening": ("<thin", False, [("content", "<thin")]),
    "then a call": (
        '<think>a < b</think>\n\n<tool_call>\n{"name": "get", "arguments": {}}\n</tool_call>',
        False,
        [("reasoning", "a < b"), ("get", "{}")],
    ),
    "call in a thought": (
        "<think><tool_call></think>x",
        False,
        [("reasoning", "<tool_call>"), ("content", "x")],
    ),
}


@pytest.mark.parametrize("size", [1, 2, 5, 1000])
@pytest.mark.parametrize("name", THOUGHTS)
def test_thoughts_are_parted_from_the_answer(name: str, size: int) -> None:
    text, thinking, expected = THOUGHTS[name]
    reader = ThinkingReader(FORMAT["hermes"].reader(NAMES, 9), thinking=thinking)
    assert joined(read(reader, text, size)) == expected
