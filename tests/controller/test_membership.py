"""The worker's side of the fleet, against a controller that fails as it is told."""

import asyncio
import logging

import httpx
import pytest
from pydantic import SecretStr

from cloister.errors import BadSettings
from cloister.fleet import BEAT_PATH, JOIN_PATH, LEAVE_PATH, TOKEN_HEADER
from cloister.usage import UsageLog
from controller.ledger import Ledger
from tests.controller.conftest import MODEL, TOKEN, new_app, new_store, state
from worker.membership import Membership

OWN_URL = "http://127.0.0.1:8001"


class Controller(httpx.AsyncBaseTransport):
    """A real one that can be down, or be started anew. Time is the number of sleeps."""

    def __init__(self) -> None:
        self._store = new_store()
        self.restart()
        self.is_up = True
        self.loses_answers = False
        self.paths: list[str] = []
        self.slept: list[float] = []
        self._steps: asyncio.Queue[None] = asyncio.Queue()
        self._asleep = asyncio.Event()

    def restart(self) -> None:
        self._inner = httpx.ASGITransport(new_app(self._store, beat_interval_s=2))

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.paths.append(request.url.path)
        if not self.is_up:
            raise httpx.ConnectError("down")
        answer = await self._inner.handle_async_request(request)
        if self.loses_answers:
            raise httpx.ReadError("lost")
        return answer

    async def sleep(self, time_s: float) -> None:
        self.slept.append(time_s)
        self._asleep.set()
        await self._steps.get()

    async def until_asleep(self) -> None:
        await asyncio.wait_for(self._asleep.wait(), 5)
        self._asleep.clear()

    async def step(self) -> None:
        """Let one sleep end and wait for the next one."""
        self._steps.put_nowait(None)
        await self.until_asleep()

    def counted(self) -> int:
        """Requests, of all tenants."""
        return sum(one.requests for one in Ledger(self._store).totals().values())

    async def models(self) -> list[str]:
        async with httpx.AsyncClient(transport=self._inner, base_url="http://c") as http:
            answer = await http.get("/v1/models")
        return [model["id"] for model in answer.json()["data"]]


@pytest.fixture
async def controller() -> Controller:
    return Controller()


def member(controller: Controller, token: str = TOKEN, usage: UsageLog | None = None) -> Membership:
    return Membership(
        "http://controller",
        SecretStr(token),
        OWN_URL,
        state,
        usage or UsageLog(),
        transport=controller,
        sleep=controller.sleep,
    )


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Levels of what the worker logged."""
    return [record.levelname for record in caplog.records if record.name == "worker.membership"]


async def test_worker_joins_beats_and_leaves(controller: Controller) -> None:
    async with member(controller):
        await controller.until_asleep()
        assert await controller.models() == [MODEL]
        await controller.step()
        await controller.step()
    assert controller.paths == [JOIN_PATH, BEAT_PATH, BEAT_PATH, LEAVE_PATH]
    assert controller.slept == [2.0] * 3
    assert await controller.models() == []


async def test_controller_that_is_down_is_tried_on_and_told_once(
    controller: Controller, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "worker.membership")
    controller.is_up = False
    async with member(controller):
        await controller.until_asleep()
        for _ in range(6):
            await controller.step()
        assert controller.slept == [0.25, 0.5, 1, 2, 4, 5, 5]
        assert told(caplog) == ["WARNING"]
        controller.is_up = True
        await controller.step()
        assert await controller.models() == [MODEL]
    assert told(caplog) == ["WARNING", "INFO"]


async def test_controller_that_started_anew_is_joined_again(controller: Controller) -> None:
    async with member(controller):
        await controller.until_asleep()
        controller.restart()
        await controller.step()
        await controller.step()
        assert await controller.models() == [MODEL]
    assert controller.paths == [JOIN_PATH, BEAT_PATH, JOIN_PATH, LEAVE_PATH]


async def test_lost_beat_is_no_reason_to_join_again(
    controller: Controller, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "worker.membership")
    async with member(controller):
        await controller.until_asleep()
        controller.is_up = False
        await controller.step()
        await controller.step()
        controller.is_up = True
        await controller.step()
    assert controller.paths == [JOIN_PATH, *[BEAT_PATH] * 3, LEAVE_PATH]
    assert told(caplog) == ["INFO", "WARNING", "INFO"]  # joined, lost, found


async def test_usage_is_told_until_it_is_counted_and_then_no_more(controller: Controller) -> None:
    usage = UsageLog()

    def spend() -> None:
        usage.add("id", "ann", prompt_tokens=1, cached_tokens=0, generated_tokens=1)

    async with member(controller, usage=usage):
        await controller.until_asleep()
        spend()
        controller.is_up = False
        await controller.step()
        spend()
        controller.loses_answers = controller.is_up = True
        await controller.step()
        assert len(usage.report().records) == 2
        controller.loses_answers = False
        await controller.step()
        assert usage.report().records == ()
        assert controller.counted() == 2
        spend()
    assert usage.report().records == ()  # the last ones go with the leave
    assert controller.counted() == 3


async def test_usage_outlives_a_restart_of_the_controller(controller: Controller) -> None:
    usage = UsageLog()
    async with member(controller, usage=usage):
        await controller.until_asleep()
        usage.add("id", "ann", prompt_tokens=1, cached_tokens=0, generated_tokens=1)
        controller.loses_answers = True
        await controller.step()
        controller.loses_answers = False
        controller.restart()
        await controller.step()
        await controller.step()
        await controller.step()
    assert usage.report().records == ()
    assert controller.counted() == 1


async def test_wrong_token_is_told_without_the_token(
    controller: Controller, caplog: pytest.LogCaptureFixture
) -> None:
    async with member(controller, "a wrong token here"):
        await controller.until_asleep()
        await controller.step()
    assert TOKEN_HEADER in caplog.text
    assert "a wrong token" not in caplog.text
    assert told(caplog) == ["WARNING"]


async def test_worker_stops_while_the_controller_is_down(controller: Controller) -> None:
    async with member(controller):
        await controller.until_asleep()
        controller.is_up = False
    assert controller.paths == [JOIN_PATH, LEAVE_PATH]


@pytest.mark.parametrize("url", ["127.0.0.1:8000", "ftp://x", "http://", "http://u:p@x"])
def test_address_that_is_none_is_a_bad_setting(url: str) -> None:
    for urls in ((url, OWN_URL), (OWN_URL, url)):
        with pytest.raises(BadSettings):
            Membership(urls[0], SecretStr(TOKEN), urls[1], state, UsageLog())
