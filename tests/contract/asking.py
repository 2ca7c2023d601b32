"""A streamed request that a test holds behind any token, and what became of it."""

import asyncio

import pytest

from tests.contract.alphabet import LETTERS
from tests.contract.endpoints import Endpoint
from tests.contract.fault import Fault
from tests.contract.heard import PATIENCE_S, Heard
from tests.contract.rig import Rig, while_running

LONG = {"max_tokens": 40}


class Asking:
    """One request under way, held behind its `point`-th token."""

    def __init__(self, rig: Rig, endpoint: Endpoint) -> None:
        self.rig = rig
        self.endpoint = endpoint
        self.heard = Heard()
        self.task: asyncio.Task[None] | None = None

    async def reach(self, point: int) -> "Asking":
        self.rig.model.hold()
        self.rig.model.let(point)
        self.task = asyncio.create_task(self.endpoint.ask(self.rig, self.heard, "1", **LONG))
        await while_running(self.task, self.rig.worker.asked())
        await while_running(self.task, self.heard.wait_for(point))
        assert self.heard.text == LETTERS[:point]
        return self

    async def fault(self) -> Fault:
        """What the SDK raises; the stream below has ended as it must."""
        assert self.task is not None
        with pytest.raises(Fault) as raised:
            await asyncio.wait_for(self.task, PATIENCE_S)
        if raised.value.status is None:
            self.endpoint.check(self.rig.stream, failed=True)
        return raised.value

    async def leave(self) -> None:
        """The client goes, and its connection with it."""
        assert self.task is not None
        self.task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await self.task
