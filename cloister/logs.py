"""One log format for every program, to stderr, without anything of a request.

Exceptions are shown as their types and places only: a message may quote what a client sent.
There is no access log; counts are in the metrics.
"""

import logging
import sys
import time
import traceback
from types import TracebackType
from typing import Literal, TextIO

Level = Literal["debug", "info", "warning", "error"]

ExcInfo = tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]

FORMAT = "%(asctime)sZ %(levelname)s %(name)s: %(message)s"


def setup(level: Level = "info", stream: TextIO | None = None) -> None:
    """Send all records of `level` and above to `stream` (stderr). A second call replaces it."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(Formatter(FORMAT, "%Y-%m-%dT%H:%M:%S"))
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    for name in ("uvicorn", "httpx", "httpcore"):  # they would log every URL, or say little
        logging.getLogger(name).setLevel(logging.WARNING)


class Formatter(logging.Formatter):
    """UTC times; exceptions without their messages."""

    converter = staticmethod(time.gmtime)

    def formatException(self, ei: ExcInfo) -> str:  # noqa: N802 (logging's name)
        return places(ei[1]) if ei[1] else ""


def places(error: BaseException) -> str:
    """Types and code lines of an exception and its causes, the last one first."""
    lines: list[str] = []
    seen: set[int] = set()
    cause: BaseException | None = error
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        lines.append(type(cause).__name__)
        for frame in traceback.extract_tb(cause.__traceback__):
            lines.append(f"  {frame.filename}:{frame.lineno} in {frame.name}")
        cause = cause.__cause__ or cause.__context__
    return "\n".join(lines)
