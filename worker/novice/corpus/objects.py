"""JSON on request: the prompt gives fields and values, the answer is exactly that object."""

import json
from random import Random
from typing import Any

from worker.novice.chat import Message, assistant, user
from worker.novice.corpus.lexicon import split
from worker.novice.corpus.people import any_name, any_place, any_word, made_up_word
from worker.novice.corpus.phrase import ask, series
from worker.novice.reserve import free

FIELDS = split(
    """
name age city country color colour size price title author year month day email phone address street
zip id user count total score level rank status kind type category brand model weight height width
length depth speed distance time date start end duration language genre rating pages owner team
captain sport position animal breed food drink fruit flavor taste material shape number code key
value label text message subject sender receiver priority task project budget currency amount item
product quantity stock discount room floor seat gate flight train platform station host port path
file format version release license active enabled open paid public admin verified ready visible
married fragile urgent temperature humidity wind pressure sky season job company salary school class
grade teacher student hobby pet instrument band song album artist movie director book planet moon
star river lake mountain island capital population area depth_m first_name last_name user_id
order_id zip_code birth_year max_size min_age start_date end_date is_open has_garden unit_price
room_number phone_number file_name is_new
"""
)
FLAGS = "active enabled open paid public admin verified ready visible married fragile urgent is_new"
FLAGS += " is_open has_garden"
GROUPS = (
    "user person owner address item product order event place book pet car config settings data"
)
GROUPS += " profile location contact customer author payment device room team"
PLURALS = "colors tags names fruits cities numbers items words sizes scores pets friends hobbies"
PLURALS += " authors ids prices days letters tools steps"
REQUEST = (
    "[give me|write|return|make|create|produce|build|print|show|output|i need|i want|can you write"
    "|can you make|please make|please write|could you give me|can you give me|generate|format|send"
    "|i would like|i'd like|please return|please create|could you return|can you create|pls build"
    "|could you create|please build|show me|please show|please give me|construct|compose|print out]"
    " [a json object|json|a json|an object in json|a json document|some json|valid json"
    "|a small json object|a JSON object|JSON|a JSON document|a simple json object|one json object"
    "|an object as json|the json] [with|for|containing|that has|having|where|of|:|with only"
    "|with just|with the fields|that contains|in which|which has|holding|made of] {fields}"
    "[.|||]",
    "[json with|json object with|json for|json:|json, fields|as json:|in json:|json object:] "
    "{fields}[.|||]",
    "[turn this into json|convert to json|write this as json|put this in json|format as json"
    "|make this json|convert this to a json object|express as json|convert to JSON|as JSON"
    "|the json of this|write in json|json please|save as json|change this to json][: |:\n] "
    "{fields}[.|||]",
    "{fields} [as json|in json|- as json please|, as a json object|, as JSON please|as JSON"
    "|, written as json|- give me that as json|, in json format|: make it json][.|||]",
    "[i have|take|here is|given|there is|we have|use] {fields}[.|;|,] [write|show|give me|make|put"
    "|return|turn] [it|that|this|them] [as|in|into] [json|JSON|a json object][.|||]",
)


def json_object(rng: Random) -> list[Message]:
    """One request for JSON and the object."""
    value = _object(rng)
    style = rng.choice(
        (
            "{k} {v}",
            "{k} {v}",
            "{k} = {v}",
            "{k}={v}",
            "{k}: {v}",
            "{k} is {v}",
            "{k} set to {v}",
            "the {k} {v}",
            "a {k} of {v}",
            "{k} equal to {v}",
        )
    )
    told = [_told(rng, style, key, item) for key, item in value.items()]
    fields = series(told) if rng.random() < 0.6 else ", ".join(told)
    return [user(ask(rng, rng.choice(REQUEST), fields=fields)), assistant(as_json(value))]


def as_json(value: object) -> str:
    """Return the one way novice writes JSON."""
    return json.dumps(value, ensure_ascii=False)


def scalar(rng: Random, key: str) -> Any:
    """Return a value that a field may hold: words, numbers, truth."""
    if key in FLAGS.split():
        return rng.random() < 0.5
    kind = rng.random()
    if kind < 0.35:
        return _number(rng)
    if kind < 0.40:
        return rng.random() < 0.5
    return _text(rng)


def _object(rng: Random) -> dict[str, Any]:
    keys = _keys(rng, rng.choice((1, 2, 2, 2, 3, 3, 3, 4)))
    value = {key: scalar(rng, key) for key in keys}
    kind = rng.random()
    if kind < 0.2:
        value[rng.choice(free("member", PLURALS.split()))] = _array(rng)
    elif kind < 0.35:
        inner = {key: scalar(rng, key) for key in _keys(rng, rng.choice((1, 2, 2)))}
        value[rng.choice(free("member", GROUPS.split()))] = inner
    return value


def _keys(rng: Random, count: int) -> list[str]:
    known = rng.sample(free("member", FIELDS), count)
    return [_new_key(rng) if rng.random() < 0.25 else key for key in known]


def _new_key(rng: Random) -> str:
    word = any_word(rng) if rng.random() < 0.6 else made_up_word(rng)
    key = word if rng.random() < 0.7 else f"{word}_{any_word(rng)}"
    return key if free("member", [key]) else _new_key(rng)


def _number(rng: Random) -> int | float:
    kind = rng.random()
    if kind < 0.15:
        return round(rng.uniform(0, 100), rng.choice((1, 2)))
    return rng.randint(0, rng.choice((9, 99, 99, 999, 2030, 9999)))


def _text(rng: Random) -> str:
    kind = rng.random()
    if kind < 0.3:
        return any_name(rng)
    if kind < 0.5:
        return any_place(rng)
    if kind < 0.58:
        return _code(rng)
    words = [any_word(rng) for _ in range(rng.choice((1, 1, 1, 2)))]
    return " ".join(words) if kind < 0.9 else made_up_word(rng)


def _code(rng: Random) -> str:
    """Return a text with digits in it: a code, a time, a date."""
    letters = "".join(rng.choice("ABCDEFGHKLMNPRSTUVXZ") for _ in range(rng.randint(1, 3)))
    number = rng.randint(1, rng.choice((9, 99, 999)))
    forms = (f"{letters}{number}", f"{letters}-{number}", f"{rng.randint(0, 23)}:{number % 60:02d}")
    return rng.choice(
        (*forms, f"20{number % 40:02d}-{rng.randint(1, 12):02d}-{number % 28 + 1:02d}")
    )


def _array(rng: Random) -> list[Any]:
    count = rng.choice((2, 3, 3, 4))
    make = rng.choice((any_word, any_name, _number, any_place, any_word))
    return [make(rng) for _ in range(count)]


def _told(rng: Random, style: str, key: str, value: Any) -> str:
    """Say a field as a person would."""
    if isinstance(value, dict):
        inner = series([f"{each} {_value(rng, item)}" for each, item in value.items()])
        form = rng.choice(
            (
                "{k} with {v}",
                "an object {k} with {v}",
                "{k} being an object with {v}",
                "a nested object {k} with {v}",
                "inside {k}: {v}",
            )
        )
        return form.format(k=key, v=inner)
    if isinstance(value, list):
        form = rng.choice(
            (
                "a list {k} with {v}",
                "{k} as a list of {v}",
                "an array {k} of {v}",
                "the list {k} with {v}",
                "{k}: a list of {v}",
                "{k} being [{v}]",
            )
        )
        return form.format(k=key, v=series([str(each) for each in value]))
    return style.format(k=key, v=_value(rng, value))


def _value(rng: Random, value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str) and (" " in value or rng.random() < 0.3):
        return f'"{value}"'
    return str(value)
