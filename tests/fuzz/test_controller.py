"""The controller, with keys and a worker behind it, answers as its own document says."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass

import httpx
import pytest
from pydantic import SecretStr

from cloister.fleet import JOIN_PATH, TOKEN_HEADER, Join
from controller.access import ADMIN_PATHS, FLEET_PATHS, OPEN_PATHS
from controller.keys import KeyTable, Kind
from tests.contract.rig import MODEL, SpelledEngine
from tests.controller.conftest import TOKEN, new_app, new_store, state
from tests.fakes.server import serving
from tests.fakes.vocabulary import write_folder
from tests.fuzz.documents import examine, operations
from worker.api.app import create_app
from worker.api.served import Served
from worker.engine.limits import Limits

FLEET = {TOKEN_HEADER: TOKEN}


@dataclass(frozen=True)
class House:
    """A controller at `url`, and what opens its routes."""

    url: str
    ann: Mapping[str, str]
    admin: Mapping[str, str]

    def headers(self, path: str) -> Mapping[str, str]:
        """What opens a route."""
        if path.startswith(FLEET_PATHS):
            return FLEET
        return self.admin if path.startswith(ADMIN_PATHS) else self.ann


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    folder = write_folder(tmp_path_factory.mktemp("fuzzed"))
    served = Served.load(folder, name=MODEL, context_length=200)
    engine = SpelledEngine(served, Limits())
    engine.start()
    store = new_store()
    table = KeyTable(store)
    ann, root = table.create("ann"), table.create("root", kind=Kind.ADMIN)
    with ExitStack() as ends:
        ends.callback(engine.close)
        worker = ends.enter_context(serving(create_app(served, engine, token=SecretStr(TOKEN))))
        url = ends.enter_context(serving(new_app(store, beat_interval_s=600)))
        joins = Join(url=worker, state=state(MODEL)).model_dump_json()
        httpx.post(url + JOIN_PATH, content=joins, headers=FLEET).raise_for_status()
        yield House(url, _authorization(ann), _authorization(root))


def test_every_answer_is_documented_and_no_route_is_open(house: House) -> None:
    found = list(operations(house.url, house.ann))
    assert len(found) > 15
    for operation in found:
        examine(operation, MODEL, house.headers(operation.path))


def test_every_route_but_two_asks_for_a_key(house: House) -> None:
    document = httpx.get(f"{house.url}/openapi.json", headers=house.ann).json()
    routes = {(method, path) for path, found in document["paths"].items() for method in found}
    for method, path in routes | {("get", "/openapi.json"), ("get", "/no/such/route")}:
        answer = httpx.request(method, house.url + path)
        assert (answer.status_code == 401) == (path not in OPEN_PATHS), path


def _authorization(key: str) -> dict[str, str]:
    """Schemathesis takes the key away to see what happens, but knows the capitalised name only."""
    return {"Authorization": f"Bearer {key}"}
