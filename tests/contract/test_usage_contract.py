"""What a key is charged, whatever ends an answer: what was relayed, or what its worker counted."""

import asyncio

import httpx
import pytest

from cloister.fleet import BEAT_PATH, TOKEN_HEADER, Beat
from controller.keys import KeyTable, Kind, Limits
from tests.contract.alphabet import LETTERS
from tests.contract.asking import LONG, Asking
from tests.contract.endpoints import Endpoint
from tests.contract.fault import Fault
from tests.contract.heard import PATIENCE_S, Heard
from tests.contract.rig import Fleet, Rig, until, while_running
from tests.controller.conftest import TOKEN, bearer, new_store, state

POINTS = (0, 1, 5, len(LETTERS))
"""Tokens that came before the worker's end."""

ALLOWED = Limits(requests_per_minute=5, tokens_per_minute=10_000, parallel_requests=1)
Cost = tuple[int, int, int]
"""Requests, prompt tokens and generated tokens."""

NOTHING: Cost = (0, 0, 0)


class Books:
    """A controller's keys: one with limits, and one of an admin who looks at what it used."""

    def __init__(self) -> None:
        self.store = new_store()
        table = KeyTable(self.store)
        self.key = table.create("ann", limits=ALLOWED)
        self.admin = bearer(table.create("root", kind=Kind.ADMIN))

    async def usage(self, rig: Rig) -> Cost:
        """The limited key's."""
        async with httpx.AsyncClient(base_url=rig.url, timeout=PATIENCE_S) as http:
            answer = await http.get("/admin/usage", headers=self.admin)
        [ann] = [one for one in answer.json()["data"] if one["name"] == "ann"]
        return ann["requests"], ann["prompt_tokens"], ann["generated_tokens"]


async def told_usage(rig: Rig) -> None:
    """The worker beats when its latest request has ended."""
    worker = rig.worker
    await until(lambda: bool(worker.usage.report().records))
    told = Beat(member=worker.member, state=state(), usage=worker.usage.report())
    async with httpx.AsyncClient(base_url=rig.url, timeout=PATIENCE_S) as http:
        answer = await http.post(
            BEAT_PATH, content=told.model_dump_json(), headers={TOKEN_HEADER: TOKEN}
        )
    answer.raise_for_status()


def prompt_tokens(rig: Rig) -> int:
    return len(rig.worker.engine.requests[-1].prompt)


@pytest.fixture
def books() -> Books:
    return Books()


@pytest.fixture
async def rig(ships: Fleet, books: Books) -> Rig:
    return await ships.rig(store=books.store, key=books.key)


@pytest.mark.parametrize("point", POINTS)
async def test_killed_stream_costs_exactly_the_relayed_tokens(
    point: int, rig: Rig, books: Books, endpoint: Endpoint
) -> None:
    asking = await Asking(rig, endpoint).reach(point)
    rig.worker.kill()
    await asking.fault()
    assert await books.usage(rig) == ((1, prompt_tokens(rig), point) if point else NOTHING)


async def test_pings_and_frames_without_tokens_cost_nothing(
    ships: Fleet, books: Books, endpoint: Endpoint
) -> None:
    rig = await ships.rig(store=books.store, key=books.key, ping_s=0.01)
    asking = await Asking(rig, endpoint).reach(3)
    await until(lambda: b"ping\n" in rig.stream)
    rig.worker.kill()
    await asking.fault()
    assert await books.usage(rig) == (1, prompt_tokens(rig), 3)


async def test_killed_whole_answer_costs_nothing(
    rig: Rig, books: Books, endpoint: Endpoint
) -> None:
    rig.model.hold()
    rig.model.let(5)
    task = asyncio.create_task(endpoint.ask_whole(rig, "1", **LONG))
    await while_running(task, until(lambda: bool(rig.worker.engine.requests)))
    await while_running(task, until(lambda: len(rig.worker.tokens()) >= 5))
    rig.worker.kill()
    with pytest.raises(Fault):
        await asyncio.wait_for(task, PATIENCE_S)
    assert await books.usage(rig) == NOTHING


async def test_left_stream_costs_what_its_worker_generated(
    rig: Rig, books: Books, endpoint: Endpoint
) -> None:
    asking = await Asking(rig, endpoint).reach(5)
    await asking.leave()
    await told_usage(rig)
    assert await books.usage(rig) == (1, prompt_tokens(rig), 5)


async def test_worker_that_breaks_off_and_lives_tells_better(
    rig: Rig, books: Books, endpoint: Endpoint
) -> None:
    """Its record takes the place of what was relayed, and comes twice where a beat was lost."""
    asking = await Asking(rig, endpoint).reach(3)
    rig.worker.kill()
    await asking.fault()
    await told_usage(rig)
    await told_usage(rig)
    assert await books.usage(rig) == (1, prompt_tokens(rig), 3)


async def test_place_of_the_killed_request_is_free(
    rig: Rig, ships: Fleet, books: Books, endpoint: Endpoint
) -> None:
    asking = await Asking(rig, endpoint).reach(1)
    rig.worker.kill()
    await asking.fault()
    await ships.add_worker(rig)
    heard = Heard()
    await endpoint.ask(rig, heard, "1", **LONG)
    assert heard.text == LETTERS
