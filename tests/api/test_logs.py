"""One format, and no words of an exception."""

import io
import logging
from collections.abc import Iterator

import pytest

from cloister import logs


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    before = (root.handlers[:], root.level)
    stream = io.StringIO()
    logs.setup("info", stream)
    yield stream
    root.handlers[:], root.level = before[0], before[1]


def test_line_has_time_level_and_name(stream: io.StringIO) -> None:
    logging.getLogger("worker").info("ready")
    logging.getLogger("worker").debug("hidden")
    time, rest = stream.getvalue().split(" ", 1)
    assert time.endswith("Z")
    assert rest == "INFO worker: ready\n"


def test_exceptions_show_types_and_places_only(stream: io.StringIO) -> None:
    try:
        try:
            int("canary")
        except ValueError as error:
            raise RuntimeError("canary") from error
    except RuntimeError:
        logging.getLogger("worker").exception("failed")
    logged = stream.getvalue()
    assert "canary" not in logged
    assert "RuntimeError" in logged
    assert "ValueError" in logged
    assert "test_logs.py" in logged


def test_access_lines_are_off(stream: io.StringIO) -> None:
    logging.getLogger("uvicorn.access").info("GET /secret")
    assert stream.getvalue() == ""
