"""What a user writes is in no log, metric or error."""

import secrets
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.e2e.stack import Stack
from worker.api.access import TOKEN_HEADER

BAD_FIELDS: list[dict[str, Any]] = [
    {"temperature": 3},
    {"max_tokens": 0},
    {"no_such_field": 1},
    {"stop": ["x"] * 1000},
    {"model": "no-such-model"},
    {"stream_options": {"include_usage": True}},
]


@pytest.fixture(scope="module")
def canary() -> str:
    return f"canary{secrets.token_hex(12)}"


@pytest.fixture(scope="module")
def answers(stack: Stack, canary: str) -> list[httpx.Response]:
    """Good and bad requests, the canary wherever a user may write."""
    good = {
        "model": "novice",
        "messages": [
            {"role": "system", "content": f"You are {canary}."},
            {"role": "user", "content": f"Say {canary}."},
        ],
        "max_tokens": 40,
        "stop": [canary[:12]],
    }
    bodies: list[Any] = [good, {**good, "stream": True}]
    bodies += [{**good, **fields} for fields in BAD_FIELDS]
    bodies.append({**good, "messages": [{"role": "user", "content": f"{canary} " * 5000}]})
    bodies.append({**good, "messages": [{"role": "user", "content": {"text": canary}}]})
    bodies.append({**good, "messages": [{"role": "user", "text": canary}]})
    url = f"{stack.api_url}/chat/completions"
    with httpx.Client(timeout=60) as client:
        found = [client.post(url, json=body) for body in bodies]
        found.append(client.post(url, content=f'{{"messages": "{canary}'))
        kept = {"model": "novice", "input": canary, "max_output_tokens": 8}
        for wrong in ({"previous_response_id": canary}, {"input": [{"role": "user", "x": canary}]}):
            found.append(client.post(f"{stack.api_url}/responses", json={**kept, **wrong}))
        found.append(client.post(f"{stack.api_url}/responses", json=kept))
        prompt = {"model": "novice", "prompt": canary, "max_tokens": 8}
        found.append(client.post(f"{stack.api_url}/completions", json=prompt))
        found.append(client.post(f"{stack.api_url}/completions", json={**prompt, "suffix": canary}))
    return found


def test_requests_were_served_and_refused(answers: list[httpx.Response]) -> None:
    assert [answer.status_code for answer in answers[:2]] == [200, 200]
    assert {answer.status_code for answer in answers[2:-3]} <= {400, 404}
    assert [answer.status_code for answer in answers[-3:]] == [200, 200, 400]


def test_no_error_holds_it(answers: list[httpx.Response], canary: str) -> None:
    for answer in answers:
        if answer.status_code != 200:
            assert canary not in answer.text


def test_no_log_holds_it(stack: Stack, answers: list[httpx.Response], canary: str) -> None:
    assert canary not in stack.said


def test_no_metric_holds_it(stack: Stack, answers: list[httpx.Response], canary: str) -> None:
    token = {TOKEN_HEADER: stack.token}
    for url in (stack.controller_url, stack.worker_url):
        metrics = httpx.get(f"{url}/metrics", headers=token)
        assert metrics.status_code == 200
        assert "# TYPE" in metrics.text
        assert canary not in metrics.text


def test_no_log_holds_the_join_token(stack: Stack, answers: list[httpx.Response]) -> None:
    assert stack.token not in stack.said


def test_no_command_line_holds_the_join_token(stack: Stack) -> None:
    for pid in stack.pids():
        assert stack.token not in Path(f"/proc/{pid}/cmdline").read_text()
