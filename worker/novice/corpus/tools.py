"""Conversations with tools on offer: call the one that fits, then answer from its result."""

from random import Random
from typing import Any

from worker.novice.chat import Json, Message, assistant, call, user
from worker.novice.corpus.objects import as_json, scalar
from worker.novice.corpus.params import made_up_param, spoken
from worker.novice.corpus.people import any_name, any_word
from worker.novice.corpus.phrase import ask, capital, choose, series
from worker.novice.corpus.tool import Tool
from worker.novice.corpus.toolbox import any_tool, lookalike
from worker.novice.corpus.unknown import ANSWER, unknown_question

MEASURES = "temperature humidity wind price status count distance speed level time date total size"
MEASURES += " weight duration battery pressure balance height rating color owner state stock seats"
DONE = ("ok", "done", "success", "sent", "created", "saved", "started", "booked", "deleted")
ERRORS = (
    "not found",
    "no connection",
    "access denied",
    "timeout",
    "not available",
    "busy",
    "unknown name",
    "too late",
    "already exists",
    "sold out",
)


def offered(rng: Random) -> list[Tool]:
    """Return one to three tools with different names."""
    first = any_tool(rng)
    others = [
        lookalike(rng, first) if rng.random() < 0.3 else any_tool(rng)
        for _ in range(rng.choice((0, 0, 1, 1, 2)))
    ]
    tools = list({tool.name: tool for tool in (first, *others)}.values())
    rng.shuffle(tools)
    return tools


def signatures(rng: Random, tools: list[Tool]) -> tuple[Json, ...]:
    """Return the tools as the wire carries them."""
    return tuple(tool.signature(rng) for tool in tools)


def tool_call(rng: Random, tools: list[Tool]) -> list[Message]:
    """A request that one of the tools serves, its call, its result, the answer."""
    tool = rng.choice(tools)
    left_out = {name for name in tool.optional if rng.random() < 0.5}
    given = {each.name: each.make(rng) for each in tool.params if each.name not in left_out}
    request = user(_request(rng, tool, given))
    result, answer = _outcome(rng)
    called = call(tool.name, given)
    return [request, called, {"role": "tool", "content": result}, assistant(answer)]


def no_tool_fits(rng: Random, tools: list[Tool]) -> list[Message]:
    """A request for which there is no tool: novice says so instead of calling one."""
    names = {tool.name for tool in tools}
    other = any_tool(rng)
    if other.name in names or rng.random() < 0.5 or _related(other, tools):
        text = unknown_question(rng)
        return (
            no_tool_fits(rng, tools) if _mentions(text, tools) else [user(text), assistant(ANSWER)]
        )
    given = {each.name: each.make(rng) for each in other.params}
    return [user(_request(rng, other, given)), assistant(ANSWER)]


def _related(other: Tool, tools: list[Tool]) -> bool:
    """Tell whether a request for one tool could be meant for another."""
    words = {word for tool in tools for word in _words(tool)}
    return bool(words & _words(other))


def _words(tool: Tool) -> set[str]:
    return {word for word in tool.told.lower().split() if len(word) > 3}


def _mentions(text: str, tools: list[Tool]) -> bool:
    words = set(text.lower().replace("?", "").replace(".", "").split())
    return any(words & _words(tool) for tool in tools)


def _request(rng: Random, tool: Tool, given: dict[str, Any]) -> str:
    says = {each.name: each.say for each in tool.params}
    clauses = [
        choose(rng, says[key])
        .replace("{n}", key.replace("_", " ") if rng.random() < 0.8 else key)
        .replace("{v}", "{" + f"value{at}" + "}")
        for at, key in enumerate(given)
    ]
    if rng.random() < 0.2:
        rng.shuffle(clauses)
    joined = "".join(each if each.startswith((",", ":")) else f" {each}" for each in clauses)
    if len(clauses) > 1 and rng.random() < 0.2:
        joined = joined.replace(" with", " and with")
    values = {f"value{at}": spoken(value) for at, value in enumerate(given.values())}
    return ask(rng, tool.asks.replace("{clauses}", joined), **values)


def _outcome(rng: Random) -> tuple[str, str]:
    """Return a tool's result and the words that tell it."""
    makers = (_measured, _measured, _measured, _plain, _finished, _failed, _several, _sentence)
    return rng.choice(makers)(rng)


def _measured(rng: Random) -> tuple[str, str]:
    keys = rng.sample(MEASURES.split(), rng.choice((1, 2, 2, 3)))
    keys = [made_up_param(rng).name if rng.random() < 0.3 else key for key in keys]
    result = {key: scalar(rng, key) for key in keys}
    told = [f"the {key.replace('_', ' ')} is {spoken(value)}" for key, value in result.items()]
    return as_json(result), capital(series(told)) + "."


def _plain(rng: Random) -> tuple[str, str]:
    value = spoken(scalar(rng, "value"))
    return value, f"The result is {value}."


def _finished(rng: Random) -> tuple[str, str]:
    word = rng.choice(DONE)
    result = rng.choice(
        (
            word,
            as_json({"status": word}),
            as_json({"ok": True}),
            as_json({"result": word}),
            as_json({"success": True}),
        )
    )
    return result, "Done."


def _failed(rng: Random) -> tuple[str, str]:
    why = rng.choice(ERRORS) if rng.random() < 0.5 else f"{any_word(rng)} {rng.choice(ERRORS)}"
    result = as_json({"error": why}) if rng.random() < 0.7 else f"Error: {why}"
    return result, f"That did not work: {why}."


def _several(rng: Random) -> tuple[str, str]:
    make = rng.choice((any_word, any_name))
    values = [make(rng) for _ in range(rng.randint(2, 4))]
    result = (
        as_json(values)
        if rng.random() < 0.5
        else as_json({rng.choice(("items", "results", "list", "names")): values})
    )
    return result, f"Here is the list: {series(values)}."


def _sentence(rng: Random) -> tuple[str, str]:
    key = rng.choice(MEASURES.split())
    text = f"The {key} of {rng.choice((any_name, any_word))(rng)} is {spoken(scalar(rng, key))}."
    return text, text
