"""The library, compiled from the sources of this checkout."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from worker.kernels.build import LIBRARY, CannotCompile, build
from worker.kernels.library import Library
from worker.kernels.native import Native

TILES = Path(__file__).parent / "tiles.h"


@pytest.fixture(scope="session")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _compiled(tmp_path_factory, None)


@pytest.fixture(scope="session")
def library(compiled: Path) -> Library:
    return Library(compiled)


@pytest.fixture(scope="session")
def with_tiles(library: Library, tmp_path_factory: pytest.TempPathFactory) -> Library:
    """A library whose `amx` runs here: as it is, or with tiles in plain C++."""
    here = library.variants()
    return library if "amx" in here else Library(_compiled(tmp_path_factory, TILES))


@pytest.fixture(params=["amx", "avx512", "avx2", "portable"])
def native(request: pytest.FixtureRequest, with_tiles: Library) -> Iterator[Native]:
    """Each variant that runs on this machine."""
    if request.param not in with_tiles.variants():
        pytest.skip(f"this machine has no {request.param}")
    kernels = Native(with_tiles, request.param)
    yield kernels
    kernels.close()


def _compiled(factory: pytest.TempPathFactory, tiles: Path | None) -> Path:
    path = factory.mktemp("kernels") / LIBRARY
    try:
        build(path, tiles=tiles)
    except CannotCompile as problem:
        if "cannot be run" not in str(problem):
            raise
        pytest.skip(str(problem))
    return path
