"""A controller behind a real socket, and a way to let workers join it."""

import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from cloister.fleet import JOIN_PATH, TOKEN_HEADER, FleetLoad, FleetModel, Join, WorkerState
from controller.accounts import Accounts
from controller.app import create_app
from controller.settings import ControllerSettings
from controller.store import Store
from tests.fakes.server import serving

TOKEN = "a token of the tests"
MODEL = "tiny"

Joins = Callable[..., Awaitable[dict[str, Any]]]


def state(*models: str, ready: bool = True, **load: float) -> WorkerState:
    names = models or (MODEL,)
    served = tuple(FleetModel(id=name, created=7, context_length=100) for name in names)
    return WorkerState(models=served, ready=ready, load=FleetLoad(**load))  # type: ignore[arg-type]


def new_app(store: Store | None = None, **settings: Any) -> Any:
    """A controller's app; without a store it is open to all, and its counts are thrown away."""
    return create_app(
        ControllerSettings(**{"beat_interval_s": 60, **settings}),
        join_token=SecretStr(TOKEN),
        accounts=Accounts(store or new_store()),
    )


def new_store() -> Store:
    with tempfile.TemporaryDirectory() as folder:
        return Store(Path(folder) / "accounts.sqlite")  # stays open after the folder has gone


def bearer(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


def chat(text: str = "hi", **more: Any) -> dict[str, Any]:
    return {"model": MODEL, "messages": [{"role": "user", "content": text}], **more}


@pytest.fixture
def url() -> Iterator[str]:
    with serving(new_app(connect_timeout_s=2)) as address:
        yield address


@pytest.fixture
async def http(url: str) -> AsyncIterator[httpx.AsyncClient]:
    limits = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(base_url=url, timeout=20, limits=limits) as client:
        yield client


@pytest.fixture
def join(http: httpx.AsyncClient) -> Joins:
    return lambda *words, **more: join_at(http, *words, **more)


async def join_at(http: httpx.AsyncClient, url: str, *models: str, **more: Any) -> dict[str, Any]:
    message = Join(url=url, state=state(*models, **more))
    answer = await http.post(
        JOIN_PATH, content=message.model_dump_json(), headers={TOKEN_HEADER: TOKEN}
    )
    answer.raise_for_status()
    joined: dict[str, Any] = answer.json()
    return joined
