"""Responses through the controller: what was kept is found on the worker that keeps it."""

from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import httpx
import openai
import pytest
from pydantic import SecretStr

from cloister.fleet import JOIN_PATH, LEAVE_PATH, TOKEN_HEADER, Join, Leave
from controller.keys import Key, make
from tests.controller.conftest import TOKEN, new_app, state
from tests.controller.test_relay import dead_url
from tests.fakes.engine import FakeEngine
from tests.fakes.server import serving
from tests.fakes.vocabulary import write_folder
from worker.api.app import Readiness, create_app
from worker.api.response_store import ResponseStore
from worker.api.served import Served

RESPONSES = "/v1/responses"
FLEET = {TOKEN_HEADER: TOKEN}
ASKED = {"model": "tiny", "input": "hi"}


@dataclass
class Backend:
    """One of the fleet's workers."""

    engine: FakeEngine
    store: ResponseStore
    readiness: Readiness
    url: str
    member: str = ""


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Served:
    folder = write_folder(tmp_path_factory.mktemp("model"))
    return Served.load(folder, name="tiny", context_length=300)


@pytest.fixture
def backends(served: Served) -> Iterator[list[Backend]]:
    with ExitStack() as stack:
        yield [_backend(served, stack) for _ in range(2)]


def _backend(served: Served, stack: ExitStack) -> Backend:
    engine, store, readiness = FakeEngine(), ResponseStore(), Readiness()
    token = SecretStr(TOKEN)
    app = create_app(served, engine, token=token, store=store, readiness=readiness)
    return Backend(engine, store, readiness, stack.enter_context(serving(app)))


@pytest.fixture
async def url(backends: list[Backend]) -> AsyncIterator[str]:
    with serving(new_app(*KEYS)) as address:
        for backend in backends:
            joined = await _join(address, backend.url, backend.store.tag)
            backend.member = joined["member"]
        yield address


def _keys(*names: str) -> tuple[list[str], list[Key]]:
    made = [make(name) for name in names]
    lines = [line.partition(":") for _, line in made]
    return [secret for secret, _ in made], [Key(name, bytes.fromhex(d)) for name, _, d in lines]


(ANN, BOB), KEYS = _keys("ann", "bob")


async def _join(address: str, worker: str, tag: str) -> dict[str, Any]:
    join = Join(url=worker, state=state().model_copy(update={"tag": tag}))
    return await _tell(address, JOIN_PATH, join.model_dump_json())


async def _tell(address: str, path: str, body: str) -> Any:
    async with httpx.AsyncClient(base_url=address, headers=FLEET) as http:
        answer = await http.post(path, content=body)
        answer.raise_for_status()
        return answer.json() if answer.content else None


@pytest.fixture
async def http(url: str) -> AsyncIterator[httpx.AsyncClient]:
    headers = {"authorization": f"Bearer {ANN}"}
    async with httpx.AsyncClient(base_url=url, headers=headers, timeout=20) as client:
        yield client


def error_of(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


async def test_kept_responses_are_found_wherever_they_are(
    url: str, backends: list[Backend]
) -> None:
    base = f"{url}/v1"
    async with openai.AsyncOpenAI(
        base_url=base, api_key=ANN, max_retries=0, _strict_response_validation=True
    ) as sdk:
        firsts = [await sdk.responses.create(model="tiny", input="one") for _ in range(4)]
        assert {len(backend.engine.requests) for backend in backends} == {2}
        for first in firsts:
            asked = {"model": "tiny", "input": "two", "previous_response_id": first.id}
            async with sdk.responses.stream(**asked) as events:  # type: ignore[arg-type]
                second = await events.get_final_response()
            assert second.output_text == "Hello!"
            assert await sdk.responses.retrieve(first.id) == first
            page = await sdk.responses.input_items.list(second.id, limit=2, order="asc")
            assert len(page.data) == 2
            assert page.has_more
            await sdk.responses.delete(first.id)
            with pytest.raises(openai.NotFoundError):
                await sdk.responses.retrieve(first.id)
            with pytest.raises(openai.BadRequestError):
                await sdk.responses.cancel(second.id)
    for backend in backends:
        assert len(backend.engine.requests) == 4


async def test_another_key_finds_nothing(url: str, http: httpx.AsyncClient) -> None:
    id = (await http.post(RESPONSES, json=ASKED)).json()["id"]
    bob = {"authorization": f"Bearer {BOB}"}
    asked = {**ASKED, "previous_response_id": id}
    for answer in (
        await http.get(f"{RESPONSES}/{id}", headers=bob),
        await http.get(f"{RESPONSES}/{id}/input_items", headers=bob),
        await http.delete(f"{RESPONSES}/{id}", headers=bob),
        await http.post(f"{RESPONSES}/{id}/cancel", headers=bob),
    ):
        assert error_of(answer) == (404, "response_not_found")
    chained = await http.post(RESPONSES, json=asked, headers=bob)
    assert error_of(chained) == (404, "previous_response_not_found")
    assert (await http.get(f"{RESPONSES}/{id}")).status_code == 200


@pytest.mark.parametrize("id", ["resp_1", f"resp_{'0' * 16}_{'0' * 32}", "a%0d%0ab", "x" * 999])
async def test_id_of_no_worker_is_not_found(id: str, http: httpx.AsyncClient) -> None:
    assert error_of(await http.get(f"{RESPONSES}/{id}")) == (404, "response_not_found")
    asked = {**ASKED, "previous_response_id": id}
    chained = await http.post(RESPONSES, json=asked)
    assert error_of(chained) == (404, "previous_response_not_found")
    assert chained.json()["error"]["param"] == "previous_response_id"


async def test_previous_response_that_is_no_text_is_the_worker_s_to_refuse(
    http: httpx.AsyncClient,
) -> None:
    answer = await http.post(RESPONSES, json={**ASKED, "previous_response_id": 3})
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == "previous_response_id"


async def test_worker_that_left_took_its_responses_along(
    url: str, http: httpx.AsyncClient, backends: list[Backend]
) -> None:
    id = (await http.post(RESPONSES, json=ASKED)).json()["id"]
    [holder] = [backend for backend in backends if backend.engine.requests]
    holder.readiness.state = "draining"
    assert (await http.get(f"{RESPONSES}/{id}")).status_code == 200  # it still reads
    await _tell(url, LEAVE_PATH, Leave(member=holder.member).model_dump_json())
    assert error_of(await http.get(f"{RESPONSES}/{id}")) == (404, "response_not_found")


async def test_worker_that_cannot_be_reached_is_asked_again_later(
    url: str, http: httpx.AsyncClient
) -> None:
    store = ResponseStore()
    await _join(url, dead_url(), store.tag)
    answer = await http.get(f"{RESPONSES}/{store.new_id()}")
    assert error_of(answer) == (503, "no_worker")
    assert int(answer.headers["retry-after"]) >= 1


async def test_sealed_body_names_its_previous_response_in_a_header(
    http: httpx.AsyncClient, backends: list[Backend]
) -> None:
    id = (await http.post(RESPONSES, json=ASKED)).json()["id"]
    headers = {"x-cloister-model": "tiny", "x-cloister-previous-response": id}
    for _ in range(3):
        asked = {**ASKED, "previous_response_id": id}
        answer = await http.post(RESPONSES, json=asked, headers=headers)
        assert answer.status_code == 200
    assert sorted(len(backend.engine.requests) for backend in backends) == [0, 4]
