"""Writes schemas.jsonl, the 200 schemas that answers are held to.

    python -m tests.structure.schemas

Members as services ask for them, and the ways in which schemas put members together. The choice is
drawn with a fixed seed, so the file changes only with this page.
"""

import json
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

Schema = dict[str, Any]

FILE = Path(__file__).with_name("schemas.jsonl")
COUNT = 200

MEMBERS: dict[str, Schema] = {
    # texts, free and bounded
    "name": {"type": "string"},
    "summary": {"type": "string", "description": "One sentence."},
    "answer": {"type": "string"},
    "title": {"type": "string", "minLength": 1, "maxLength": 40},
    "comment": {"type": "string", "maxLength": 120},
    "initials": {"type": "string", "minLength": 2, "maxLength": 2},
    "nickname": {"anyOf": [{"type": "string"}, {"type": "null"}]},
    "note": {"type": ["string", "null"], "maxLength": 60},
    # texts of a pattern or a format
    "code": {"type": "string", "pattern": "^[A-Z]{3}-[0-9]{2,4}$"},
    "plate": {"type": "string", "pattern": "^[A-Z]{1,3} [A-Z]{1,2} [1-9][0-9]{0,3}$"},
    "colour_hex": {"type": "string", "pattern": "^#[0-9a-f]{6}$"},
    "version": {"type": "string", "pattern": "^[0-9]+\\.[0-9]+\\.[0-9]+$", "maxLength": 12},
    "slug": {"type": "string", "pattern": "^[a-z0-9]+(-[a-z0-9]+){0,4}$", "maxLength": 40},
    "phone": {"type": "string", "pattern": "^\\+[1-9][0-9]{6,14}$"},
    "grade": {"type": "string", "pattern": "^[A-F][+-]?$"},
    "id": {"type": "string", "format": "uuid"},
    "born": {"type": "string", "format": "date"},
    "opens": {"type": "string", "format": "time"},
    "sent": {"type": "string", "format": "date-time"},
    "takes": {"type": "string", "format": "duration"},
    "email": {"type": "string", "format": "email", "maxLength": 40},
    "host": {"type": "string", "format": "hostname", "maxLength": 40},
    "address": {"type": "string", "format": "ipv4"},
    "link": {"type": "string", "format": "uri", "maxLength": 80},
    # choices
    "status": {"enum": ["open", "in progress", "done"]},
    "priority": {"enum": [1, 2, 3]},
    "unit": {"type": "string", "enum": ["g", "kg", "ml", "l"]},
    "mood": {"enum": ["happy", "sad", "angry", "none", None]},
    "language": {"enum": ["Deutsch", "English", "français", "日本語"]},
    "kind": {"const": "event"},
    "schema_version": {"const": 2},
    # numbers
    "age": {"type": "integer", "minimum": 0, "maximum": 130},
    "year": {"type": "integer", "minimum": 1900, "maximum": 2100},
    "count": {"type": "integer"},
    "quantity": {"type": "integer", "exclusiveMinimum": 0},
    "dozen": {"type": "integer", "multipleOf": 12, "minimum": 0, "maximum": 1200},
    "price": {"type": "number", "minimum": 0},
    "score": {"type": "number", "minimum": 0, "maximum": 1},
    "temperature": {"type": "number", "minimum": -90, "maximum": 60},
    "ratio": {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1},
    "weight": {"type": ["number", "null"]},
    # yes, no, nothing
    "active": {"type": "boolean"},
    "deleted": {"type": "null"},
    # lists
    "tags": {"type": "array", "items": {"type": "string"}},
    "lines": {"type": "array", "items": {"type": "string", "maxLength": 30}, "maxItems": 4},
    "sizes": {"type": "array", "items": {"enum": ["S", "M", "L"]}, "minItems": 1, "maxItems": 3},
    "numbers": {"type": "array", "items": {"type": "integer"}, "minItems": 2, "maxItems": 6},
    "matrix": {
        "type": "array",
        "items": {
            "type": "array",
            "items": {"type": "number", "minimum": -10, "maximum": 10},
            "minItems": 2,
            "maxItems": 2,
        },
        "minItems": 2,
        "maxItems": 2,
    },
    "point": {
        "type": "array",
        "prefixItems": [
            {"type": "number", "minimum": -90, "maximum": 90},
            {"type": "number", "minimum": -180, "maximum": 180},
            {"enum": ["m", "km"]},
        ],
        "items": False,
        "minItems": 3,
    },
    # maps and unions
    "labels": {"type": "object", "additionalProperties": {"type": "string"}, "maxProperties": 3},
    "scores": {
        "type": "object",
        "patternProperties": {"^[a-z]{1,8}$": {"type": "integer", "minimum": 0, "maximum": 10}},
        "additionalProperties": False,
        "maxProperties": 3,
    },
    "value": {"anyOf": [{"type": "integer"}, {"type": "boolean"}, {"type": "string"}]},
    "limit": {"oneOf": [{"type": "integer", "minimum": 1}, {"const": "none"}]},
    "share": {"allOf": [{"type": "integer", "minimum": 0}, {"maximum": 100}]},
}
THINGS = ("user", "order", "event", "recipe", "ticket", "book", "device", "trip", "shop", "song")


def record(members: dict[str, Schema], optional: int = 0) -> Schema:
    """An object of these members, the last `optional` of which may be missing."""
    return {
        "type": "object",
        "properties": members,
        "required": list(members)[: len(members) - optional],
        "additionalProperties": False,
    }


def draw(random: Random, count: int) -> dict[str, Schema]:
    return {name: MEMBERS[name] for name in random.sample(list(MEMBERS), count)}


def flat(random: Random) -> Schema:
    return record(draw(random, random.randint(2, 6)))


def optional(random: Random) -> Schema:
    return record(draw(random, 5), optional=random.randint(1, 5))


def open_record(random: Random) -> Schema:
    members = draw(random, 3)
    return {"type": "object", "properties": members, "required": list(members)}


def nested(random: Random) -> Schema:
    inner, outer = random.sample(THINGS, 2)
    return record(
        {
            **draw(random, 2),
            outer: record({**draw(random, 2), inner: record(draw(random, 2))}),
        }
    )


def several(random: Random) -> Schema:
    """A list of records, bounded or not."""
    bounds = random.choice(({"minItems": 1, "maxItems": 3}, {"maxItems": 4}, {}))
    thing = random.choice(THINGS)
    return record({f"{thing}s": {"type": "array", "items": record(draw(random, 3)), **bounds}})


def tagged(random: Random) -> Schema:
    """A union of records that their first member tells apart."""
    kinds = [
        record({"type": {"const": thing}, **draw(random, 2)}) for thing in random.sample(THINGS, 3)
    ]
    return record({"item": {random.choice(("anyOf", "oneOf")): kinds}})


def referring(random: Random) -> Schema:
    thing = random.choice(THINGS)
    place = random.choice(("$defs", "definitions"))
    target = {"$ref": f"#/{place}/{thing}"}
    members = {"first": target, "others": {"type": "array", "items": target, "maxItems": 2}}
    return {**record(members), place: {thing: record(draw(random, 2))}}


def recursive(random: Random) -> Schema:
    """A tree: a record holds records of its own kind."""
    children = {"type": "array", "items": {"$ref": "#/$defs/node"}, "maxItems": 2}
    node = record({**draw(random, 2), "children": children}, optional=1)
    return {"$defs": {"node": node}, "$ref": "#/$defs/node"}


def mapped(random: Random) -> Schema:
    [inner] = draw(random, 1).values()
    return {
        "type": "object",
        "patternProperties": {"^[a-z_]{1,12}$": inner},
        "additionalProperties": False,
        "minProperties": 1,
        "maxProperties": random.randint(1, 4),
    }


def listed(random: Random) -> Schema:
    """The answer itself is a list."""
    [inner] = draw(random, 1).values()
    return {"type": "array", "items": inner, "minItems": 1, "maxItems": random.randint(1, 5)}


FORMS: tuple[Callable[[Random], Schema], ...] = (
    *(flat, optional, nested, several, tagged, referring, recursive, mapped, listed),
    *(flat, optional, nested, several, tagged, referring, recursive, mapped, open_record),
)


def schemas() -> list[Schema]:
    """Each member alone, then each form in turn."""
    random = Random(3)
    made = [record({name: member}) for name, member in MEMBERS.items()]
    while len(made) < COUNT:
        schema = FORMS[len(made) % len(FORMS)](random)
        if schema not in made:
            made.append(schema)
    return made


def text() -> str:
    return "".join(json.dumps(schema, ensure_ascii=False) + "\n" for schema in schemas())


if __name__ == "__main__":
    FILE.write_text(text(), encoding="utf-8")
