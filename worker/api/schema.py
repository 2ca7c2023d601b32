"""Which JSON schemas Cloister can hold an answer to; every other one is refused by its place.

A keyword that we cannot enforce is never dropped: the answer would look valid and not be. The list
is what llguidance enforces, in the words of JSON Schema 2020-12.
"""

from collections.abc import Iterator
from typing import Any

from cloister.errors import BadRequest

SCHEMAS = ("items", "additionalProperties")  # hold a schema
LISTS = ("anyOf", "oneOf", "allOf", "prefixItems")  # hold a list of schemas
MAPS = ("properties", "patternProperties", "$defs", "definitions")  # hold schemas by name
LIMITS = (
    *("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
    *("minLength", "maxLength", "pattern", "format"),
    *("minItems", "maxItems", "minProperties", "maxProperties", "required"),
)
ANNOTATIONS = (
    *("title", "description", "default", "example", "examples", "deprecated"),
    *("readOnly", "writeOnly", "discriminator", "$schema", "$id", "$comment"),
)
"""They say nothing about which values are valid."""

KEYWORDS = {*SCHEMAS, *LISTS, *MAPS, *LIMITS, *ANNOTATIONS, "type", "enum", "const", "$ref"}
FORMATS = (
    *("date-time", "time", "date", "duration", "email", "hostname"),
    *("ipv4", "ipv6", "uuid", "uri"),
)
DEPTH = 64
SHOWN = 64  # characters of a client's name that a path repeats at most

Schema = dict[str, Any] | bool


def check_schema(schema: Any, param: str) -> None:
    """Raises `BadRequest` with the path of the first keyword that cannot be enforced."""
    pending = [(schema, param, 0)]
    while pending:
        one, path, depth = pending.pop()
        if depth > DEPTH:
            raise _refusal(path[:SHOWN], f"nested deeper than {DEPTH} schemas")
        if isinstance(one, bool):
            continue
        if not isinstance(one, dict):
            raise _refusal(path, "a schema must be an object, true or false")
        _check_keywords(one, schema, path)
        pending += [(inner, where, depth + 1) for inner, where in _inner(one, path)]


def _check_keywords(one: dict[str, Any], root: Any, path: str) -> None:
    for keyword in one:
        if keyword not in KEYWORDS:
            raise _refusal(f"{path}.{keyword[:SHOWN]}", "this keyword is not supported")
    if (name := one.get("format")) is not None and name not in FORMATS:
        raise _refusal(f"{path}.format", f"not one of the formats {', '.join(FORMATS)}")
    if "$ref" in one and not _resolves(one["$ref"], root):
        raise _refusal(f"{path}.$ref", "must point to a place in this schema, as #/$defs/name")


def _inner(one: dict[str, Any], path: str) -> Iterator[tuple[Any, str]]:
    for keyword in SCHEMAS:
        if keyword in one:
            yield one[keyword], f"{path}.{keyword}"
    for keyword in LISTS:
        given = one.get(keyword, [])
        if not isinstance(given, list):
            raise _refusal(f"{path}.{keyword}", "must be a list of schemas")
        yield from ((inner, f"{path}.{keyword}[{at}]") for at, inner in enumerate(given))
    for keyword in MAPS:
        given = one.get(keyword, {})
        if not isinstance(given, dict):
            raise _refusal(f"{path}.{keyword}", "must be an object of schemas")
        for name, inner in given.items():
            yield inner, f"{path}.{keyword}.{name[:SHOWN]}"


def _resolves(reference: Any, root: Any) -> bool:
    """Does a JSON pointer (RFC 6901) lead to a schema?"""
    if reference == "#":
        return True
    if not isinstance(reference, str) or not reference.startswith("#/"):
        return False
    place = root
    for step in reference[2:].split("/"):
        name = step.replace("~1", "/").replace("~0", "~")
        if not isinstance(place, dict) or name not in place:
            return False
        place = place[name]
    return isinstance(place, (dict, bool))


def _refusal(path: str, reason: str) -> BadRequest:
    return BadRequest(f"{path}: {reason}", param=path)
