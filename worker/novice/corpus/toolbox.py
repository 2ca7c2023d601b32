"""Tools to offer: the everyday ones, and endless made-up ones by composition."""

from random import Random

from worker.novice.corpus.everyday import EVERYDAY
from worker.novice.corpus.params import Param, known_param, made_up_param
from worker.novice.corpus.people import any_word, made_up_word
from worker.novice.corpus.phrase import capital
from worker.novice.corpus.tool import Tool
from worker.novice.reserve import reserved

VERBS = {
    "get": (
        "Get the {noun}",
        "[what is|what's|get|show me|show|tell me|check|find|i need|give me|can you get|fetch"
        "|look up|please get|i want to know|read|can you tell me] the {noun}{clauses}",
    ),
    "set": (
        "Set the {noun}",
        "[set|change|update|please set|can you set|adjust|put] the {noun}{clauses}",
    ),
    "create": (
        "Create a {noun}",
        "[create|make|add|i need|please make|set up|can you create|start] a [new |]{noun}{clauses}",
    ),
    "add": (
        "Add a {noun}",
        "[add|please add|can you add|put in|include|i want to add] a [new |]{noun}{clauses}",
    ),
    "delete": (
        "Delete a {noun}",
        "[delete|remove|cancel|get rid of|please delete|drop|erase] the {noun}{clauses}",
    ),
    "send": (
        "Send a {noun}",
        "[send|please send|can you send|i want to send|deliver] [a|the] {noun}{clauses}",
    ),
    "book": (
        "Book a {noun}",
        "[book|reserve|please book|i want to book|can you reserve|i need] a {noun}{clauses}",
    ),
    "start": (
        "Start the {noun}",
        "[start|turn on|launch|switch on|begin|please start|run] the {noun}{clauses}",
    ),
    "stop": (
        "Stop the {noun}",
        "[stop|turn off|switch off|end|halt|please stop|shut down] the {noun}{clauses}",
    ),
    "search": (
        "Search for a {noun}",
        "[search|find|look for|search for|i am looking for|please find|can you find]"
        " a {noun}{clauses}",
    ),
    "order": (
        "Order a {noun}",
        "[order|buy|i want to order|please order|get me|i would like] a {noun}{clauses}",
    ),
    "play": (
        "Play a {noun}",
        "[play|please play|can you play|put on|i want to hear] [a|the] {noun}{clauses}",
    ),
    "open": ("Open the {noun}", "[open|please open|can you open|unlock] the {noun}{clauses}"),
    "count": (
        "Count the {noun}s",
        "[count|how many are|please count|tell me the number of] the {noun}s{clauses}",
    ),
    "list": (
        "List all {noun}s",
        "[list|show me|show|what are|give me|which are] [all |]the {noun}s{clauses}",
    ),
    "check": (
        "Check the {noun}",
        "[check|verify|test|look at|please check|inspect|can you check] the {noun}{clauses}",
    ),
    "paint": ("Paint a {noun}", "[paint|draw|please paint|can you draw] [a|the] {noun}{clauses}"),
    "move": ("Move the {noun}", "[move|shift|carry|bring|please move] the {noun}{clauses}"),
}


def any_tool(rng: Random) -> Tool:
    """Return an everyday tool or a made-up one."""
    return rng.choice(EVERYDAY) if rng.random() < 0.35 else made_up_tool(rng)


def made_up_tool(rng: Random, noun: str = "", verb: str = "") -> Tool:
    """Compose a tool from a verb, a noun and a few parameters."""
    verb = verb or rng.choice(list(VERBS))
    noun = noun or _noun(rng)
    name = _name(rng, verb, noun.replace(" ", "_"))
    if reserved("tool", name):
        return made_up_tool(rng)
    count = rng.choice((0, 1, 1, 1, 2, 2, 2, 3))
    params = {each.name: each for each in (_param(rng) for _ in range(count))}
    told, asks = VERBS[verb]
    optional = tuple(key for key in params if rng.random() < 0.15)
    return Tool(
        name,
        told.replace("{noun}", noun),
        tuple(params.values()),
        asks.replace("{noun}", noun),
        optional,
    )


def lookalike(rng: Random, tool: Tool) -> Tool:
    """Return a tool that shares a word with another, so that the choice needs attention."""
    parts = tool.name.split("_")
    if len(parts) == 2 and parts[0] in VERBS and rng.random() < 0.5:
        return made_up_tool(rng, noun=parts[1])
    return made_up_tool(rng, verb=parts[0] if parts[0] in VERBS else "")


def _noun(rng: Random) -> str:
    noun = any_word(rng) if rng.random() < 0.8 else made_up_word(rng)
    return f"{noun} {any_word(rng)}" if rng.random() < 0.25 else noun


def _name(rng: Random, verb: str, noun: str) -> str:
    kind = rng.random()
    if kind < 0.75:
        return f"{verb}_{noun}"
    if kind < 0.85:
        return verb + "".join(capital(part) for part in noun.split("_"))
    return f"{noun}_{verb}"


def _param(rng: Random) -> Param:
    return known_param(rng) if rng.random() < 0.65 else made_up_param(rng)
