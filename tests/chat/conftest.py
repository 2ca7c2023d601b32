"""A fake OpenAI server for the client and the terminal chat."""

from collections.abc import Iterator

import pytest

from cloister.ports import free_ports
from tests.webui.fake_openai import FakeOpenAI, fake_openai


@pytest.fixture
def fake() -> Iterator[FakeOpenAI]:
    with fake_openai() as server:
        yield server


@pytest.fixture
def unused_url() -> str:
    """Where nothing listens."""
    [port] = free_ports(["127.0.0.1"])
    return f"http://127.0.0.1:{port}"
