from collections.abc import AsyncIterator

import pytest

from tests.contract.endpoints import ENDPOINTS, Endpoint
from tests.contract.rig import Fleet, Rig, fleet
from tests.fakes.vocabulary import write_folder
from worker.api.served import Served

CONTEXT = 200


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Served:
    folder = write_folder(tmp_path_factory.mktemp("alphabet"))
    return Served.load(folder, name="tiny", context_length=CONTEXT)


@pytest.fixture
async def ships(served: Served) -> AsyncIterator[Fleet]:
    async with fleet(served) as it:
        yield it


@pytest.fixture
async def rig(ships: Fleet) -> Rig:
    return await ships.rig()


@pytest.fixture(params=ENDPOINTS, ids=lambda endpoint: endpoint.name)
def endpoint(request: pytest.FixtureRequest) -> Endpoint:
    found: Endpoint = request.param
    return found
