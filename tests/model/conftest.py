"""The kernels that models are tested with."""

from collections.abc import Iterator

import pytest

from worker.kernels.library import Library
from worker.kernels.native import Kernels, Native
from worker.kernels.twins import Twins


@pytest.fixture(scope="module", params=["native", "twins"])
def kernels(request: pytest.FixtureRequest) -> Iterator[Kernels]:
    """Compiled ones, and those in PyTorch."""
    if request.param == "twins":
        yield Twins()
        return
    library: Library = request.getfixturevalue("library")
    native = Native(library)
    yield native
    native.close()
