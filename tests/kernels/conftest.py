"""The variants of the library."""

from collections.abc import Iterator

import pytest

from worker.kernels.library import Library
from worker.kernels.native import Native


@pytest.fixture(params=["avx512", "avx2", "portable"])
def native(request: pytest.FixtureRequest, library: Library) -> Iterator[Native]:
    """Each variant that runs on this machine."""
    if request.param not in library.variants():
        pytest.skip(f"this machine has no {request.param}")
    kernels = Native(library, request.param)
    yield kernels
    kernels.close()
