"""The contract of answers that are not streamed: a failure is a status, whenever it happens."""

import asyncio

import pytest

from tests.contract.alphabet import LETTERS
from tests.contract.endpoints import Endpoint
from tests.contract.fault import Fault
from tests.contract.heard import PATIENCE_S, Heard
from tests.contract.rig import Fleet, Rig, until, while_running

LONG = {"max_tokens": 40}

at_every_point = pytest.mark.parametrize("point", [0, 1, 5])


async def begun(rig: Rig, endpoint: Endpoint, point: int) -> asyncio.Task[Heard]:
    """A request that is held behind its `point`-th token."""
    rig.model.hold()
    rig.model.let(point)
    task = asyncio.create_task(endpoint.ask_whole(rig, "1", **LONG))
    await while_running(task, rig.worker.asked())
    await while_running(task, until(lambda: len(rig.worker.tokens()) >= point))
    return task


async def check_it_works(rig: Rig, endpoint: Endpoint) -> None:
    rig.model.run()
    heard = await endpoint.ask_whole(rig, "1", **LONG)
    assert (heard.text, heard.finish) == (LETTERS, "stop")
    await rig.worker.idle()


@at_every_point
async def test_killed_worker_is_a_503(
    point: int, rig: Rig, ships: Fleet, endpoint: Endpoint
) -> None:
    task = await begun(rig, endpoint, point)
    rig.worker.kill()
    with pytest.raises(Fault) as gone:
        await asyncio.wait_for(task, PATIENCE_S)
    assert gone.value.status == 503
    assert endpoint.is_told(gone.value, "server_error", "no_worker")
    await ships.add_worker(rig)
    await check_it_works(rig, endpoint)


@at_every_point
async def test_failed_step_is_a_500(point: int, rig: Rig, endpoint: Endpoint) -> None:
    task = await begun(rig, endpoint, point)
    rig.model.fail()
    with pytest.raises(Fault) as failed:
        await asyncio.wait_for(task, PATIENCE_S)
    assert failed.value.status == 500
    assert endpoint.is_told(failed.value, "server_error", "internal_error")
    assert "secret" not in str(failed.value)
    await check_it_works(rig, endpoint)


async def test_deadline_is_a_408_that_nobody_retries(ships: Fleet, endpoint: Endpoint) -> None:
    rig = await ships.rig(request_s=0.5, retries=2)
    rig.model.hold()
    with pytest.raises(Fault) as late:
        await endpoint.ask_whole(rig, "1", **LONG)
    assert late.value.status == 408
    assert endpoint.is_told(late.value, "timeout_error", "deadline_exceeded")
    assert len(rig.worker.engine.requests) == 1
    await rig.worker.cancelled()
    rig.model.let(1)
    await rig.worker.idle()


@at_every_point
async def test_leaving_frees_slot_and_pages_within_one_step(
    point: int, rig: Rig, endpoint: Endpoint
) -> None:
    task = await begun(rig, endpoint, point)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await rig.worker.cancelled()
    rig.model.let(1)  # the step that was under way
    await rig.worker.idle()
    assert len(rig.model.steps) <= point + 1
    await check_it_works(rig, endpoint)
