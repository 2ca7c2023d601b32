"""One real stack for all end-to-end tests: controller, worker with the novice, page."""

from collections.abc import Iterator

import pytest

from tests.e2e.stack import Stack, running


@pytest.fixture(scope="session")
def stack() -> Iterator[Stack]:
    """`cloister up`, ready. Its parts log all they ever would."""
    levels = {f"CLOISTER_{part}_LOG_LEVEL": "debug" for part in ("CONTROLLER", "WORKER")}
    stack = Stack(environment=levels)
    with running(stack):
        stack.wait_until_ready()
        yield stack
