"""Parameters of tools: a name, a JSON schema, values of that kind, and how people say them."""

from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any

from worker.novice.corpus.copying import sentence
from worker.novice.corpus.objects import as_json
from worker.novice.corpus.people import any_name, any_place, any_word, made_up_word
from worker.novice.corpus.phrase import series
from worker.novice.corpus.words import BEASTS, CATEGORIES, SPOTS
from worker.novice.reserve import free

WITH = "[with {n} {v}|{n} {v}|with {n} {v}|with the {n} {v}|with {n} = {v}|, {n}: {v}|, {n} is {v}]"
WEEK = CATEGORIES["day"][1]


@dataclass(frozen=True)
class Param:
    """One parameter; `say` patterns place the value `{v}` (and the name `{n}`) in a request."""

    name: str
    make: Callable[[Random], Any]
    say: str = WITH
    kind: str = "string"
    choices: tuple[str, ...] = field(default=())

    def schema(self) -> dict[str, Any]:
        """Return the JSON schema of the value."""
        if self.choices:
            return {"type": "string", "enum": list(self.choices)}
        if self.kind == "array":
            return {"type": "array", "items": {"type": "string"}}
        return {"type": self.kind}


def spoken(value: Any) -> str:
    """Return a value as it stands in a request."""
    if isinstance(value, list):
        return series([str(each) for each in value])
    return value if isinstance(value, str) else as_json(value)


def known_param(rng: Random) -> Param:
    """Return one of the ordinary parameters."""
    return rng.choice(KNOWN)


def made_up_param(rng: Random) -> Param:
    """Return a parameter with a name from nowhere."""
    name = any_word(rng) if rng.random() < 0.7 else made_up_word(rng)
    name = f"{name}_{any_word(rng)}" if rng.random() < 0.2 else name
    if not free("member", [name]):
        return made_up_param(rng)
    kind = rng.choice(("string", "string", "integer", "integer", "number", "boolean", "enum"))
    if kind == "enum":
        choices = tuple(any_word(rng) for _ in range(3))
        return Param(name, lambda given: given.choice(choices), WITH, "string", choices)
    makers: dict[str, Callable[[Random], Any]] = {
        "string": text_value,
        "integer": whole,
        "number": decimal,
        "boolean": truth,
    }
    return Param(name, makers[kind], WITH, kind)


def text_value(rng: Random) -> str:
    """Return a short text: a word, two words, a name."""
    makers = (any_word, any_word, any_name, any_place, made_up_word, words)
    return rng.choice(makers)(rng)


def whole(rng: Random) -> int:
    """Return a whole number, mostly small."""
    return rng.randint(0, rng.choice((9, 20, 99, 99, 999, 9999)))


def decimal(rng: Random) -> float:
    """Return a number with one or two decimals."""
    return round(rng.uniform(0, 100), rng.choice((1, 2)))


def truth(rng: Random) -> bool:
    """Return true or false."""
    return rng.random() < 0.5


def words(rng: Random) -> str:
    """Return a short sentence, or two to five words in a row."""
    if rng.random() < 0.5:
        return sentence(rng).rstrip(".!")
    return " ".join(any_word(rng) for _ in range(rng.randint(2, 5)))


def several(rng: Random) -> list[str]:
    """Return two to four words or names."""
    make = rng.choice((any_word, any_name))
    return [make(rng) for _ in range(rng.randint(2, 4))]


def clock(rng: Random) -> str:
    """Return a time of day."""
    return f"{rng.randint(0, 23):02d}:{rng.choice((0, 5, 15, 20, 30, 45)):02d}"


def date(rng: Random) -> str:
    """Return a date as people give it."""
    if rng.random() < 0.6:
        return rng.choice((*WEEK, "today", "tomorrow", "tonight"))
    return f"20{rng.randint(20, 39)}-{rng.randint(1, 12):02d}-{rng.randint(1, 28):02d}"


def any_of(*options: str) -> Callable[[Random], str]:
    """Return a maker that picks one option."""
    return lambda rng: rng.choice(options)


def choice(name: str, say: str, *choices: str) -> Param:
    """Return a parameter with a closed set of values."""
    return Param(name, any_of(*choices), say, "string", choices)


TOWN = "[in {v}|for {v}|in {v}|at {v}]"
WHOM = "[for {v}|of {v}|named {v}|called {v}]"
TO = "[to {v}|for {v}]"
QUOTED = (
    '[with {n} "{v}"|saying {v}|that says {v}|: {v}|"{v}"|with {n} {v}|about {v}|with the {n} {v}]'
)
HUES = CATEGORIES["colour"][1]
KNOWN = (
    *(Param(name, any_place, TOWN) for name in ("city", "location", "place", "town", "region")),
    *(Param(name, any_name, WHOM) for name in ("name", "user", "person", "owner", "customer")),
    *(Param(name, any_name, TO) for name in ("to", "recipient", "contact", "friend", "receiver")),
    *(
        Param(name, text_value, QUOTED)
        for name in ("text", "message", "title", "note", "query", "subject", "content", "topic")
    ),
    *(
        Param(name, whole, WITH, "integer")
        for name in (
            "amount",
            "count",
            "quantity",
            "number",
            "limit",
            "minutes",
            "level",
            "size",
            "volume",
            "temperature",
            "floor",
            "year",
            "age",
            "width",
            "price",
            "score",
        )
    ),
    *(
        Param(name, whole, "[with {n} {v}|number {v}|{v}|#{v}]", "integer")
        for name in ("id", "order_id", "room", "ticket", "page", "user_id")
    ),
    *(Param(name, decimal, WITH, "number") for name in ("rate", "weight", "price", "length")),
    *(Param(name, date, "[on {v}|for {v}|with {n} {v}]") for name in ("date", "day", "when")),
    *(Param(name, clock, "[at {v}|for {v}|with {n} {v}]") for name in ("time", "start", "at")),
    *(
        Param(name, any_word, WITH)
        for name in ("item", "product", "category", "keyword", "file", "song", "tag", "key", "kind")
    ),
    *(Param(name, truth, WITH, "boolean") for name in ("urgent", "enabled", "public", "active")),
    *(Param(name, several, WITH, "array") for name in ("tags", "items", "names", "words")),
    Param("color", any_of(*HUES), "[in {v}|with {n} {v}|{v}]"),
    Param("language", any_of(*CATEGORIES["language"][1]), "[in {v}|to {v}|with {n} {v}]"),
    Param("animal", any_of(*BEASTS), "[for the {v}|with a {v}|with {n} {v}]"),
    Param("room", any_of(*SPOTS), "[in the {v}|for the {v}|with {n} {v}]"),
    choice("unit", "[in {v}|with {n} {v}]", "celsius", "fahrenheit"),
    choice("size", "[in {v}|with {n} {v}|{v}]", "small", "medium", "large"),
    choice("priority", "[with {v} {n}|with {n} {v}]", "low", "normal", "high"),
    choice("mode", "[in {v} mode|with {n} {v}]", "fast", "slow", "quiet", "safe"),
)
