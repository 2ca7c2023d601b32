"""What all tests share: property tests without a clock, tiny tensors on one thread."""

import hypothesis
import pytest
import torch

hypothesis.settings.register_profile("cloister", deadline=None, derandomize=True, database=None)
hypothesis.settings.load_profile("cloister")


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> None:
    """Several threads on tiny tensors only wait for each other."""
    torch.set_num_threads(1)
