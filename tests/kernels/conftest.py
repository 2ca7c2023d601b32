"""The library, compiled from the sources of this checkout."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from worker.kernels.build import LIBRARY, CannotCompile, build
from worker.kernels.library import Library
from worker.kernels.native import Native


@pytest.fixture(scope="session")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("kernels") / LIBRARY
    try:
        build(path)
    except CannotCompile as problem:
        if "cannot be run" not in str(problem):
            raise
        pytest.skip(str(problem))
    return path


@pytest.fixture(scope="session")
def library(compiled: Path) -> Library:
    return Library(compiled)


@pytest.fixture(params=["avx512", "avx2", "portable"])
def native(request: pytest.FixtureRequest, library: Library) -> Iterator[Native]:
    """Each variant that runs on this machine."""
    if request.param not in library.variants():
        pytest.skip(f"this machine has no {request.param}")
    kernels = Native(library, request.param)
    yield kernels
    kernels.close()
