"""What all tests share: property tests without a clock, tiny tensors on one thread, the kernels."""

from pathlib import Path

import hypothesis
import pytest
import torch

from worker.kernels.build import LIBRARY, CannotCompile, build
from worker.kernels.library import Library

hypothesis.settings.register_profile("cloister", deadline=None, derandomize=True, database=None)
hypothesis.settings.load_profile("cloister")


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> None:
    """Several threads on tiny tensors only wait for each other."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The kernels, compiled from the sources of this checkout."""
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
