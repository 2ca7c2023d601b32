"""What the shipped model writes at temperature 1 is valid, and nearly always ends.

The judge is the jsonschema package. All answers of a test run in flight together.
"""

import asyncio
import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

import httpx
import jsonschema
import pytest

from tests.api.conftest import client
from tests.structure.schemas import COUNT, FILE, text
from worker.api.tools import FORMATS, FormatName
from worker.build import Worker, build
from worker.settings import WorkerSettings

CHAT = "/v1/chat/completions"
AT_ONCE = 48  # requests; fewer than may wait for their grammars
Judge = jsonschema.Draft202012Validator
SCHEMAS: list[dict[str, Any]] = [json.loads(line) for line in FILE.read_text("utf-8").splitlines()]


def novice(tool_format: FormatName = "hermes") -> Worker:
    worker = build(WorkerSettings(cache_mb=64, tool_format=tool_format))
    worker.readiness.state = "ready"
    return worker


@pytest.fixture(scope="module")
def worker() -> Iterator[Worker]:
    made = novice()
    yield made
    made.engine.close()


async def ask(worker: Worker, bodies: list[dict[str, Any]]) -> list[Any]:
    """The first choice of each answer; seeds are places."""
    places = asyncio.Semaphore(AT_ONCE)

    async def one(http: httpx.AsyncClient, seed: int, body: dict[str, Any]) -> Any:
        async with places:
            fixed = {"model": "novice", "temperature": 1, "seed": seed, "max_tokens": 512}
            answer = await http.post(CHAT, json={**fixed, **body}, timeout=120)
        assert answer.status_code == 200, answer.text
        return answer.json()["choices"][0]

    async with client(worker.app) as http:
        return await asyncio.gather(*(one(http, seed, body) for seed, body in enumerate(bodies)))


def formed(schema: dict[str, Any]) -> dict[str, Any]:
    wanted = " and ".join(schema.get("properties", {"value": 0}))
    return {
        "messages": [{"role": "user", "content": f"Give me a JSON object with {wanted}"}],
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "answer", "schema": schema, "strict": True},
        },
    }


def check(value: str, schema: dict[str, Any]) -> None:
    jsonschema.validate(json.loads(value), schema, Judge, format_checker=Judge.FORMAT_CHECKER)


def test_file_holds_what_its_page_writes() -> None:
    assert FILE.read_text("utf-8") == text()
    assert len({json.dumps(schema) for schema in SCHEMAS}) == COUNT == 200
    for schema in SCHEMAS:
        Judge.check_schema(schema)


async def test_answers_to_200_schemas_are_valid_and_end(worker: Worker) -> None:
    finishes: Counter[str] = Counter()
    for choice, schema in zip(await ask(worker, list(map(formed, SCHEMAS))), SCHEMAS, strict=True):
        finishes[choice["finish_reason"]] += 1
        if choice["finish_reason"] == "stop":
            check(choice["message"]["content"], schema)
            assert "\n" not in choice["message"]["content"]
    assert finishes.keys() <= {"stop", "length"}
    assert finishes["stop"] >= 0.9 * COUNT, finishes


OBJECTS = [schema for schema in SCHEMAS if schema.get("type") == "object"]
PAIRS = list(zip(OBJECTS[54:126:24], OBJECTS[8:50:14], strict=True))
"""Parameters of two tools, of one that is large and one that is small."""


def forced(large: dict[str, Any], small: dict[str, Any], choice: Any) -> dict[str, Any]:
    tools = [
        {"type": "function", "function": {"name": name, "parameters": parameters}}
        for name, parameters in (("large", large), ("small", small))
    ]
    message = {"role": "user", "content": "Call a tool"}
    return {
        "messages": [message],
        "tools": tools,
        "tool_choice": choice,
        "parallel_tool_calls": False,
        "max_tokens": 300,
    }


@pytest.mark.parametrize("format", [format.name for format in FORMATS])
async def test_forced_calls_are_valid_in_every_form(format: FormatName) -> None:
    named = {"type": "function", "function": {"name": "large"}}
    asked = [(pair, choice) for pair in PAIRS for choice in ("required", named)]
    worker = novice(format)
    try:
        choices = await ask(worker, [forced(*pair, choice) for pair, choice in asked])
    finally:
        worker.engine.close()
    whole = 0
    for choice, (pair, wanted) in zip(choices, asked, strict=True):
        if choice["finish_reason"] == "length":
            continue
        whole += 1
        [call] = choice["message"]["tool_calls"]
        name = call["function"]["name"]
        assert wanted == "required" or name == "large"
        check(call["function"]["arguments"], dict(zip(("large", "small"), pair, strict=True))[name])
    assert whole, "some end within the limit"
