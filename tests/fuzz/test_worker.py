"""The worker answers whatever its document allows or forbids as the document says."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from pydantic import SecretStr

from cloister.fleet import TOKEN_HEADER
from tests.contract.rig import SpelledEngine
from tests.fakes.engine import FakeEngine
from tests.fakes.server import serving
from tests.fakes.vocabulary import write_folder
from tests.fuzz.documents import examine, operations
from worker.api.app import create_app
from worker.api.served import Served
from worker.engine.limits import Limits

TOKEN = "a token of the tests"
HEADERS = {TOKEN_HEADER: TOKEN}


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = write_folder(tmp_path_factory.mktemp("fuzzed"))
    served = Served.load(folder, name="tiny", context_length=200)
    engine = SpelledEngine(served, Limits())
    engine.start()
    with serving(create_app(served, engine, token=SecretStr(TOKEN))) as address:
        yield address
    engine.close()


def test_every_answer_is_documented_and_no_route_is_open(url: str) -> None:
    found = list(operations(url, HEADERS))
    assert len(found) > 6
    for operation in found:
        if operation.path != "/worker/drain":  # behind it everything is refused
            examine(operation, "tiny", HEADERS)


def test_open_route_is_found_out(tmp_path: Path) -> None:
    """The document asks for a token; this worker does not."""
    served = Served.load(write_folder(tmp_path), name="tiny", context_length=200)
    with serving(create_app(served, FakeEngine())) as open_one:
        models = next(one for one in operations(open_one, {}) if one.path == "/v1/models")
        with pytest.raises(BaseExceptionGroup, match="failure") as found_out:
            examine(models, "tiny", {TOKEN_HEADER: TOKEN})
    assert [type(one).__name__ for one in found_out.value.exceptions] == ["IgnoredAuth"]


def test_document_says_which_routes_are_open(url: str) -> None:
    paths = httpx.get(f"{url}/openapi.json", headers=HEADERS).json()["paths"]
    open_ones = {
        path for path, routes in paths.items() for route in routes.values() if not route["security"]
    }
    assert open_ones == {"/health", "/ready"}
