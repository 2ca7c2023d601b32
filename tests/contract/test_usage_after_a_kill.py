"""What a dead worker generated for a key is what its client was sent, to the token."""

import httpx
import pytest

from controller.keys import KeyTable, Kind, Limits
from tests.contract.alphabet import LETTERS
from tests.contract.asking import LONG, Asking
from tests.contract.endpoints import Endpoint
from tests.contract.heard import PATIENCE_S, Heard
from tests.contract.rig import Fleet, Rig, until
from tests.controller.conftest import bearer, new_store

POINTS = (0, 1, 5, len(LETTERS))
"""Tokens that came before the worker's end."""

ALLOWED = Limits(requests_per_minute=5, tokens_per_minute=10_000, parallel_requests=1)


class Books:
    """A controller's keys: one with limits, and one of an admin who looks at what it used."""

    def __init__(self) -> None:
        self.store = new_store()
        table = KeyTable(self.store)
        self.key = table.create("ann", limits=ALLOWED)
        self.admin = bearer(table.create("root", kind=Kind.ADMIN))

    async def usage(self, rig: Rig) -> tuple[int, int, int]:
        """The limited key's requests, prompt tokens and generated tokens."""
        async with httpx.AsyncClient(base_url=rig.url, timeout=PATIENCE_S) as http:
            answer = await http.get("/admin/usage", headers=self.admin)
        [ann] = [one for one in answer.json()["data"] if one["name"] == "ann"]
        return ann["requests"], ann["prompt_tokens"], ann["generated_tokens"]


@pytest.mark.parametrize("point", POINTS)
async def test_exactly_the_relayed_tokens_are_counted(
    point: int, ships: Fleet, endpoint: Endpoint
) -> None:
    books = Books()
    rig = await ships.rig(store=books.store, key=books.key)
    asking = await Asking(rig, endpoint).reach(point)
    rig.worker.kill()
    await asking.fault()
    prompt = len(rig.worker.engine.requests[-1].prompt)
    assert await books.usage(rig) == ((1, prompt, point) if point else (0, 0, 0))


async def test_pings_and_frames_without_tokens_cost_nothing(
    ships: Fleet, endpoint: Endpoint
) -> None:
    books = Books()
    rig = await ships.rig(store=books.store, key=books.key, ping_s=0.01)
    asking = await Asking(rig, endpoint).reach(3)
    await until(lambda: b"ping\n" in rig.stream)
    rig.worker.kill()
    await asking.fault()
    prompt = len(rig.worker.engine.requests[-1].prompt)
    assert await books.usage(rig) == (1, prompt, 3)


async def test_place_of_the_killed_request_is_free(ships: Fleet, endpoint: Endpoint) -> None:
    books = Books()
    rig = await ships.rig(store=books.store, key=books.key)
    asking = await Asking(rig, endpoint).reach(1)
    rig.worker.kill()
    await asking.fault()
    await ships.add_worker(rig)
    heard = Heard()
    await endpoint.ask(rig, heard, "1", **LONG)
    assert heard.text == LETTERS
