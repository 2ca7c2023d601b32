"""The variants of the library."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from worker.kernels.build import LIBRARY, build
from worker.kernels.library import Library
from worker.kernels.native import Native

TILES = Path(__file__).parent / "tiles.h"


@pytest.fixture(scope="session")
def with_tiles(library: Library, tmp_path_factory: pytest.TempPathFactory) -> Library:
    """A library whose `amx` runs here: as it is, or with tiles in plain C++."""
    if "amx" in library.variants():
        return library
    path = tmp_path_factory.mktemp("tiles") / LIBRARY
    build(path, tiles=TILES)
    return Library(path)


@pytest.fixture(params=["amx", "avx512bf16", "avx512", "avx2", "portable"])
def native(request: pytest.FixtureRequest, with_tiles: Library) -> Iterator[Native]:
    """Each variant that runs on this machine."""
    if request.param not in with_tiles.variants():
        pytest.skip(f"this machine has no {request.param}")
    kernels = Native(with_tiles, request.param)
    yield kernels
    kernels.close()
