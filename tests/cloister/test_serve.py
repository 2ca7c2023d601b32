"""Serving: an address that is told can be reached."""

import asyncio
import logging
import signal
import socket
from collections.abc import Iterator

import pytest

from cloister import serve as serving


class Connects(logging.Handler):
    """Connects at the very moment in which the address is told, as a script may."""

    def __init__(self, bound: socket.socket) -> None:
        super().__init__()
        self._address = bound.getsockname()
        self.reached: list[bool] = []

    def emit(self, record: logging.LogRecord) -> None:
        if "serving at" in record.getMessage():
            with socket.socket() as one:
                self.reached.append(one.connect_ex(self._address) == 0)


@pytest.fixture
def bound() -> Iterator[socket.socket]:
    with serving.listen("127.0.0.1", 0) as made:
        yield made


async def test_address_that_is_told_can_be_reached_at_once(
    bound: socket.socket, caplog: pytest.LogCaptureFixture
) -> None:
    connects = Connects(bound)
    caplog.set_level(logging.INFO, logger=serving.log.name)
    serving.log.addHandler(connects)
    try:
        task = asyncio.create_task(serving.serve(nothing, bound, on_stop=lambda: None))
        while not connects.reached:
            await asyncio.sleep(0)
        signal.raise_signal(signal.SIGTERM)
        await task
    finally:
        serving.log.removeHandler(connects)
    assert connects.reached == [True]


async def nothing(_scope: object, _receive: object, _send: object) -> None:
    """An application without a lifespan."""
    raise NotImplementedError
