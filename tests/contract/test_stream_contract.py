"""The stream contract: whatever fails, and whenever, a client is told, and nothing is left behind.

Each test asks through the controller, with the SDK's strict validation and its accumulator, and
reads the bytes below too.
"""

import asyncio

import pytest

from tests.contract.alphabet import LETTERS
from tests.contract.asking import LONG, Asking
from tests.contract.endpoints import ENDPOINTS, Endpoint
from tests.contract.fault import Fault
from tests.contract.heard import PATIENCE_S, Heard
from tests.contract.rig import Fleet, Rig, until
from worker.engine.limits import Limits

FILLING = [endpoint for endpoint in ENDPOINTS if endpoint.fills_context]
POINTS = (0, 1, 5)
"""Tokens that came before the failure."""

at_every_point = pytest.mark.parametrize("point", POINTS)


async def check_it_works(rig: Rig, endpoint: Endpoint) -> None:
    """An answer that nothing disturbs: whole, exact, and nothing left behind."""
    rig.model.run()
    heard = Heard()
    await endpoint.ask(rig, heard, "1", **LONG)
    assert (heard.text, heard.finish) == (LETTERS, "stop")
    check_usage(rig, heard)
    endpoint.check(rig.stream, failed=False)
    await rig.worker.idle()


def check_usage(rig: Rig, heard: Heard) -> None:
    request = rig.worker.engine.requests[-1]
    assert heard.usage == (len(request.prompt), len(rig.worker.tokens()))


async def test_undisturbed_answer_is_whole_and_exact(rig: Rig, endpoint: Endpoint) -> None:
    await check_it_works(rig, endpoint)
    whole = await endpoint.ask_whole(rig, "1", **LONG)
    assert (whole.text, whole.finish) == (LETTERS, "stop")
    check_usage(rig, whole)


async def test_limit_ends_an_answer_with_length(rig: Rig, endpoint: Endpoint) -> None:
    heard = Heard()
    await endpoint.ask(rig, heard, "1", max_tokens=5)
    assert (heard.text, heard.finish) == ("abcde", "length")
    check_usage(rig, heard)
    endpoint.check(rig.stream, failed=False)


@pytest.mark.parametrize("endpoint", FILLING, ids=lambda endpoint: endpoint.name)
async def test_full_context_ends_an_answer_with_length(rig: Rig, endpoint: Endpoint) -> None:
    heard = Heard()
    await endpoint.ask(rig, heard, "1" * 165)
    assert heard.finish == "length"
    assert heard.text == LETTERS[: len(heard.text)] != LETTERS
    check_usage(rig, heard)
    assert sum(heard.usage or ()) == rig.model.context_length
    endpoint.check(rig.stream, failed=False)
    await rig.worker.idle()


async def test_limit_may_reach_the_end_of_the_context(rig: Rig, endpoint: Endpoint) -> None:
    await endpoint.ask(rig, Heard(), "1", max_tokens=1)
    around = len(rig.worker.engine.requests[-1].prompt) - 1
    heard = Heard()
    prompt = "1" * (rig.model.context_length - around - 10)
    await endpoint.ask(rig, heard, prompt, max_tokens=10)
    assert (heard.text, heard.finish) == (LETTERS[:10], "length")
    assert sum(heard.usage or ()) == rig.model.context_length
    endpoint.check(rig.stream, failed=False)
    await rig.worker.idle()


async def test_prompt_over_the_context_is_refused(rig: Rig, endpoint: Endpoint) -> None:
    with pytest.raises(Fault) as refused:
        await endpoint.ask(rig, Heard(), "1" * 300)
    assert refused.value.status == 400
    assert endpoint.is_told(refused.value, "invalid_request_error", "context_length_exceeded")
    await check_it_works(rig, endpoint)


@at_every_point
async def test_killed_worker_is_told(
    point: int, rig: Rig, ships: Fleet, endpoint: Endpoint
) -> None:
    asking = await Asking(rig, endpoint).reach(point)
    rig.worker.kill()
    fault = await asking.fault()
    assert fault.status == (None if point else 503)
    assert endpoint.is_told(fault, "server_error", "worker_failed" if point else "no_worker")
    assert asking.heard.text == LETTERS[:point]
    rig.model.run()
    await rig.worker.idle()
    await ships.add_worker(rig)
    await check_it_works(rig, endpoint)


async def test_worker_killed_before_its_first_token_is_replaced(
    rig: Rig, ships: Fleet, endpoint: Endpoint
) -> None:
    asking = await Asking(rig, endpoint).reach(0)
    first = rig.worker
    await ships.add_worker(rig)
    first.kill()
    assert asking.task is not None
    await asyncio.wait_for(asking.task, PATIENCE_S)
    assert (asking.heard.text, asking.heard.finish) == (LETTERS, "stop")
    check_usage(rig, asking.heard)
    endpoint.check(rig.stream, failed=False)


async def test_worker_killed_behind_a_ping_is_told(ships: Fleet, endpoint: Endpoint) -> None:
    rig = await ships.rig(ping_s=0.01)
    asking = await Asking(rig, endpoint).reach(0)
    await pinged(rig)
    rig.worker.kill()
    fault = await asking.fault()
    assert endpoint.is_told(fault, "server_error", "worker_failed")


async def test_pings_do_not_disturb(ships: Fleet, endpoint: Endpoint) -> None:
    rig = await ships.rig(ping_s=0.01)
    asking = await Asking(rig, endpoint).reach(0)
    await pinged(rig)
    rig.model.run()
    assert asking.task is not None
    await asyncio.wait_for(asking.task, PATIENCE_S)
    assert (asking.heard.text, asking.heard.finish) == (LETTERS, "stop")
    endpoint.check(rig.stream, failed=False)


@at_every_point
async def test_failed_step_is_told(point: int, rig: Rig, endpoint: Endpoint) -> None:
    asking = await Asking(rig, endpoint).reach(point)
    rig.model.fail()
    fault = await asking.fault()
    assert endpoint.is_told(fault, "server_error", "internal_error")
    assert "secret" not in str(fault)
    await rig.worker.idle()
    await check_it_works(rig, endpoint)


@at_every_point
async def test_deadline_is_told(point: int, ships: Fleet, endpoint: Endpoint) -> None:
    rig = await ships.rig(request_s=0.5)
    rig.model.hold()
    rig.model.let(point)
    heard = Heard()
    with pytest.raises(Fault) as late:
        await asyncio.wait_for(endpoint.ask(rig, heard, "1", **LONG), PATIENCE_S)
    assert endpoint.is_told(late.value, "timeout_error", "deadline_exceeded")
    if late.value.status is not None:
        assert late.value.status == 408
        assert late.value.headers["x-should-retry"] == "false"
        assert heard.text == ""
    else:
        endpoint.check(rig.stream, failed=True)
        assert heard.text == LETTERS[: len(heard.texts)]
        assert len(heard.texts) <= point
    await rig.worker.cancelled()
    rig.model.let(1)
    await rig.worker.idle()


async def test_full_queue_is_told_and_the_others_end_well(ships: Fleet, endpoint: Endpoint) -> None:
    rig = await ships.rig(Limits(sequences=1, queued_requests=1))
    rig.model.hold()
    heard = [Heard(), Heard()]
    asked = []
    for count, one in enumerate(heard, start=1):
        asked.append(asyncio.create_task(endpoint.ask(rig, one, "1", **LONG)))
        await rig.worker.asked(count)
    with pytest.raises(Fault) as full:
        await endpoint.ask(rig, Heard(), "1")
    assert full.value.status == 429
    assert endpoint.is_told(full.value, "rate_limit_error", "overloaded")
    assert 1 <= int(full.value.headers["retry-after"]) <= 120
    rig.model.run()
    await asyncio.wait_for(asyncio.gather(*asked), PATIENCE_S)
    assert [(one.text, one.finish) for one in heard] == 2 * [(LETTERS, "stop")]
    await rig.worker.idle()
    await check_it_works(rig, endpoint)


@at_every_point
async def test_leaving_frees_slot_and_pages_within_one_step(
    point: int, rig: Rig, endpoint: Endpoint
) -> None:
    asking = await Asking(rig, endpoint).reach(point)
    await asking.leave()
    await rig.worker.cancelled()
    rig.model.let(1)  # the step that was under way
    await rig.worker.idle()
    assert len(rig.model.steps) <= point + 1
    await check_it_works(rig, endpoint)


async def pinged(rig: Rig) -> None:
    """Until a comment has come."""
    await until(lambda: b"ping\n" in rig.stream)
