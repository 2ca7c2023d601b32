"""A controller and workers behind real sockets; the test holds the model's pace and can kill."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import anthropic
import httpx
import httpx2
import openai
from pydantic import SecretStr

from cloister.usage import UsageLog
from controller.store import Store
from tests.api.living import RecordingEngine
from tests.contract.alphabet import Alphabet
from tests.contract.heard import PATIENCE_S, Recorder
from tests.controller.conftest import TOKEN, join_at, new_app
from tests.fakes.server import Serving, killable, serving
from worker.api.answer import Patience
from worker.api.app import create_app
from worker.api.served import Served
from worker.engine.limits import Limits
from worker.engine.request import Token

MODEL = "tiny"


class SpelledEngine(RecordingEngine):
    """The real engine on a model that says the alphabet."""

    def __init__(self, served: Served, limits: Limits) -> None:
        super().__init__(served, limits)
        self._model = self.model = Alphabet(served.tokenizer, served.context_length)
        self.cancelled: list[str] = []

    def cancel(self, request_id: str) -> None:
        super().cancel(request_id)
        self.cancelled.append(request_id)


@dataclass
class Worker:
    """One worker, alive until `kill`."""

    engine: SpelledEngine
    serving: Serving
    usage: UsageLog
    member: str = ""

    @property
    def model(self) -> Alphabet:
        return self.engine.model

    def kill(self) -> None:
        self.serving.kill()

    def tokens(self, place: int = -1) -> list[Token]:
        """What the engine gave for a request."""
        events = self.engine.events[self.engine.requests[place].id]
        return [event for event in events if isinstance(event, Token)]

    async def asked(self, requests: int = 1) -> None:
        """Until the engine was asked so often, and something runs."""
        await until(lambda: len(self.engine.requests) >= requests)
        await until(lambda: self.engine.load().running_requests > 0)

    async def cancelled(self) -> None:
        """Until the engine was told to forget its latest request."""
        await until(lambda: self.engine.requests[-1].id in self.engine.cancelled)

    async def idle(self) -> None:
        """Until nothing runs or waits and no page is held."""

        def is_idle() -> bool:
            load = self.engine.load()
            return load.queued_requests + load.running_requests + load.pages_used == 0

        await until(is_idle)
        self.engine.check()


@dataclass
class Rig:
    """Both SDKs talk to the controller at `url`; `recorder` keeps the bytes that they get."""

    url: str
    openai: openai.AsyncOpenAI
    anthropic: anthropic.AsyncAnthropic
    recorder: Recorder
    workers: list[Worker] = field(default_factory=list)

    @property
    def worker(self) -> Worker:
        """The newest."""
        return self.workers[-1]

    @property
    def model(self) -> Alphabet:
        return self.worker.model

    @property
    def stream(self) -> bytes:
        """The bytes of the latest answer."""
        return bytes(self.recorder.answers[-1])


class Fleet(AsyncExitStack):
    """Starts rigs and workers, and ends them."""

    def __init__(self, served: Served) -> None:
        super().__init__()
        self._served = served

    async def rig(
        self,
        limits: Limits | None = None,
        *,
        store: Store | None = None,
        key: str = "none",
        retries: int = 0,
        **patience: float,
    ) -> Rig:
        """A controller with one worker; `key` is one of those in `store`, if that has any."""
        url = self.enter_context(serving(new_app(store, connect_timeout_s=2)))
        recorder = Recorder()
        http = httpx2.AsyncClient(transport=recorder, timeout=PATIENCE_S)
        await self.enter_async_context(http)
        given: dict[str, Any] = {
            "api_key": key,
            "max_retries": retries,
            "http_client": http,
            "_strict_response_validation": True,
        }
        rig = Rig(
            url,
            openai.AsyncOpenAI(base_url=f"{url}/v1", **given),
            anthropic.AsyncAnthropic(base_url=url, **given),
            recorder,
        )
        await self.add_worker(rig, limits, **patience)
        return rig

    async def add_worker(self, rig: Rig, limits: Limits | None = None, **patience: float) -> Worker:
        """One more worker joins."""
        engine = SpelledEngine(self._served, limits or Limits())
        engine.start()
        self.callback(engine.close)
        self.callback(engine.model.run)  # so that the engine's thread can end
        usage = UsageLog()
        app = create_app(
            self._served,
            engine,
            token=SecretStr(TOKEN),
            usage=usage,
            patience=Patience(**patience),
        )
        worker = Worker(engine, self.enter_context(killable(app)), usage)
        async with httpx.AsyncClient(base_url=rig.url, timeout=PATIENCE_S) as http:
            worker.member = (await join_at(http, worker.serving.url))["member"]
        rig.workers.append(worker)
        return worker


@asynccontextmanager
async def fleet(served: Served) -> AsyncIterator[Fleet]:
    async with Fleet(served) as it:
        yield it


async def until(holds: Callable[[], bool]) -> None:
    """Wait for what no event tells."""
    deadline = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.005)


async def while_running(task: "asyncio.Task[Any]", waiting: Coroutine[Any, Any, None]) -> None:
    """Wait, but no longer than for the end of `task`: what that raises is the reason."""
    waits = asyncio.create_task(waiting)
    await asyncio.wait((task, waits), return_when=asyncio.FIRST_COMPLETED)
    if not waits.done():
        waits.cancel()
        task.result()
    await waits
