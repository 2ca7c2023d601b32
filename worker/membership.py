"""The worker's side of the fleet: join the controller, beat, try for ever, leave politely.

A controller that is down or does not know us never stops the worker: it serves on, and joins when
it can. A change is logged once, not each failure.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from types import TracebackType
from typing import Self

import httpx
from pydantic import SecretStr, ValidationError

from cloister.errors import BadSettings, CloisterError
from cloister.fleet import (
    BEAT_PATH,
    JOIN_PATH,
    LEAVE_PATH,
    TOKEN_HEADER,
    UNKNOWN_MEMBER,
    Beat,
    Heard,
    Join,
    Joined,
    Leave,
    Message,
    WorkerState,
    worker_url,
)
from cloister.refusals import error_of
from cloister.usage import UsageLog

TIMEOUT_S = 5.0
LEAVE_TIMEOUT_S = 1.0
FIRST_DELAY_S = 0.25
LONGEST_DELAY_S = 5.0

log = logging.getLogger(__name__)

Sleep = Callable[[float], Awaitable[None]]


class Membership:
    """Keeps this worker in its controller's fleet while inside `async with`.

        async with Membership(url, token, "http://127.0.0.1:8001", describe, usage):
            await serve()

    `describe` is called in this event loop before each join and beat; what stands in `usage` is
    told with beats until it is counted. `transport` and `sleep` are for tests. Raises `BadSettings`
    for an address that is none.
    """

    def __init__(
        self,
        controller_url: str,
        join_token: SecretStr,
        own_url: str,
        describe: Callable[[], WorkerState],
        usage: UsageLog,
        *,
        transport: httpx.AsyncBaseTransport | None = None,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._own_url = _checked("own_url", own_url)
        self._describe = describe
        self._usage = usage
        self._sleep = sleep
        self._member = ""
        self._trouble: str | None = None
        self._client = httpx.AsyncClient(
            base_url=_checked("controller_url", controller_url),
            headers={TOKEN_HEADER: join_token.get_secret_value()},
            transport=transport,
            trust_env=False,
        )

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._keep(), name="membership")
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task
        await self.leave()
        await self._client.aclose()

    async def leave(self) -> None:
        """Tell the controller to send nothing more; if it does not hear, it finds out by itself."""
        if not self._member:
            return
        member, self._member = self._member, ""
        with suppress(httpx.HTTPError, CloisterError, ValidationError):
            leaving = Leave(member=member, usage=self._usage.report())
            self._counted(await self._post(LEAVE_PATH, leaving, LEAVE_TIMEOUT_S))

    async def _keep(self) -> None:
        delay_s = FIRST_DELAY_S
        while True:
            try:
                interval_s = await self._join()
                delay_s = FIRST_DELAY_S
                await self._beat(interval_s)
            except (httpx.HTTPError, CloisterError, ValidationError) as error:
                self._tell(error)
            await self._sleep(delay_s)
            delay_s = min(2 * delay_s, LONGEST_DELAY_S)

    async def _join(self) -> float:
        answer = await self._post(JOIN_PATH, Join(url=self._own_url, state=self._describe()))
        joined = Joined.model_validate_json(answer.content)
        self._member = joined.member
        self._trouble = None
        log.info("joined the controller as %s", self._own_url)
        return joined.beat_interval_s

    async def _beat(self, interval_s: float) -> None:
        """Beat until the controller does not know us. One failed beat is no reason to join anew."""
        while True:
            await self._sleep(interval_s)
            try:
                usage = self._usage.report()
                beat = Beat(member=self._member, state=self._describe(), usage=usage)
                self._counted(await self._post(BEAT_PATH, beat))
                self._recovered()
            except httpx.HTTPError as error:
                self._tell(error)
            except CloisterError as error:
                if error.code == UNKNOWN_MEMBER:
                    log.info("the controller does not know us any more; joining again")
                    return
                self._tell(error)

    def _counted(self, answer: httpx.Response) -> None:
        """Forget the usage that the controller has counted now."""
        self._usage.counted(Heard.model_validate_json(answer.content).counted)

    async def _post(
        self, path: str, message: Message, timeout_s: float = TIMEOUT_S
    ) -> httpx.Response:
        response = await self._client.post(
            path,
            content=message.model_dump_json(),
            headers={"content-type": "application/json"},
            timeout=timeout_s,
        )
        if response.is_error:
            raise error_of(response)
        return response

    def _tell(self, error: Exception) -> None:
        """Log a new kind of trouble once."""
        trouble = error.message if isinstance(error, CloisterError) else type(error).__name__
        if trouble != self._trouble:
            log.warning("no controller at %s: %s; trying on", self._client.base_url, trouble)
        self._trouble = trouble

    def _recovered(self) -> None:
        if self._trouble is not None:
            log.info("the controller hears us again")
        self._trouble = None


def _checked(name: str, url: str) -> str:
    try:
        return worker_url(url)
    except ValueError as error:
        raise BadSettings(f"{name} = {url!r} {error}") from None
