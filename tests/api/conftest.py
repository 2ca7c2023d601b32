"""A worker's app around a fake engine and a small real tokenizer."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from tests.fakes.engine import FakeEngine
from tests.fakes.vocabulary import write_folder
from worker.api.app import create_app
from worker.api.served import Served

CONTEXT = 200


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Served:
    folder = write_folder(tmp_path_factory.mktemp("model"))
    return Served.load(folder, name="tiny", context_length=CONTEXT, aliases=("other",))


@pytest.fixture
def engine() -> FakeEngine:
    return FakeEngine()


@pytest.fixture
def app(served: Served, engine: FakeEngine) -> FastAPI:
    return create_app(served, engine)


@pytest.fixture
async def http(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    async with client(app) as it:
        yield it


def client(app: FastAPI) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://worker")


def chat(text: str = "hi", **more: Any) -> dict[str, Any]:
    return {"model": "tiny", "messages": [{"role": "user", "content": text}], **more}
