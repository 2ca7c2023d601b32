from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.model.checkpoints import config_of, save
from tests.split.machines import serving, shelf_of
from worker.execution.split.address import SCHEMES
from worker.gpu.server import Server
from worker.gpu.shelf import Shelf


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random model with biases and uneven widths."""
    path = tmp_path_factory.mktemp("model")
    save(config_of("Llama", head_dim=12, attention_bias=True, mlp_bias=True), path)
    return path


@pytest.fixture(scope="session")
def shelf(folder: Path) -> Shelf:
    return shelf_of(folder)


@pytest.fixture
def server(shelf: Shelf) -> Iterator[Server]:
    with serving(shelf) as it:
        yield it


@pytest.fixture(params=SCHEMES)
def wire(request: pytest.FixtureRequest) -> str:
    """The name of each wire in turn."""
    return str(request.param)


@pytest.fixture
def any_server(shelf: Shelf, wire: str) -> Iterator[Server]:
    """A server on each wire in turn."""
    with serving(shelf, wire) as it:
        yield it
