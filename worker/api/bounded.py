"""Gives an end to values that a schema lets run on: a small model writes digits until it is cut.

Little is lost: integers beyond I-JSON's (RFC 7493: plus or minus 2^53 - 1), and of a number with a
limit what lies beyond them or behind the ninth decimal; parts of nanoseconds. What is left is valid
under the schema as the client wrote it. What is open by the client's own will (free text, lists,
numbers without any limit, addresses) stays open.
"""

from typing import Any

from worker.api.schema import LISTS, MAPS, SCHEMAS

LARGEST = 2**53 - 1
DECIMALS = 1e-9
LENGTHS = {
    "date-time": 35,  # nine digits of a second, and an offset
    "time": 24,
    "duration": 40,
}
LOWER, UPPER = ("minimum", "exclusiveMinimum"), ("maximum", "exclusiveMaximum")


def bounded(schema: Any) -> Any:
    """A checked schema with ends added, where it has none of its own."""
    if not isinstance(schema, dict):
        return schema
    inner = {
        **{key: bounded(schema[key]) for key in SCHEMAS if key in schema},
        **{key: [bounded(one) for one in schema[key]] for key in LISTS if key in schema},
        **{
            key: {name: bounded(one) for name, one in schema[key].items()}
            for key in MAPS
            if key in schema
        },
    }
    return {**schema, **inner, **_ends(schema)}


def _ends(schema: dict[str, Any]) -> dict[str, Any]:
    types = schema.get("type", [])
    types = types if isinstance(types, list) else [types]
    if "integer" in types:
        return _range(schema)
    if "number" in types and any(key in schema for key in (*LOWER, *UPPER)):
        decimals = {} if "multipleOf" in schema else {"multipleOf": DECIMALS}
        return {**decimals, **_range(schema)}
    length = LENGTHS.get(schema.get("format", ""))
    return {} if length is None or "maxLength" in schema else {"maxLength": length}


def _range(schema: dict[str, Any]) -> dict[str, Any]:
    """The missing one of two limits; none where the client's own one is beyond ours."""
    given = [schema[key] for key in (*LOWER, *UPPER) if key in schema]
    if any(not isinstance(limit, (int, float)) or abs(limit) >= LARGEST for limit in given):
        return {}
    low = {} if any(key in schema for key in LOWER) else {"minimum": -LARGEST}
    high = {} if any(key in schema for key in UPPER) else {"maximum": LARGEST}
    return low | high
