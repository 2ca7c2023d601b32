"""A worker of its own process, loaded with requests."""

import asyncio
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import httpx

from tests.e2e.stack import Program, running

PROMPT_TOKENS = 200
REQUESTS = 32


@contextmanager
def worker(*flags: str) -> Iterator[str]:
    """The address of a ready worker."""
    program = Program((sys.executable, "-m", "worker", "--port", "0", *flags), {})
    with running(program):
        yield program.wait_for(r"serving at (http://\S+)")[1]


async def busy(url: str) -> None:
    """Fill the worker's steps: many long prompts at once, sampled."""
    async with httpx.AsyncClient(base_url=url, timeout=120, trust_env=False) as client:
        model = (await client.get("/v1/models")).json()["data"][0]["id"]
        bodies = (
            {
                "model": model,
                "prompt": [20 + (7 * request + place) % 200 for place in range(PROMPT_TOKENS)],
                "max_tokens": 8,
                "ignore_eos": True,
            }
            for request in range(REQUESTS)
        )
        done = await asyncio.gather(*(client.post("/v1/completions", json=one) for one in bodies))
    assert {answer.status_code for answer in done} == {200}


def gauge(url: str, name: str) -> float:
    """A number that the worker reports of itself."""
    text = httpx.get(f"{url}/metrics", trust_env=False).text
    match = re.search(rf"^cloister_{name} (\S+)$", text, re.MULTILINE)
    assert match is not None, name
    return float(match[1])
