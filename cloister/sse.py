"""Server-sent events (WHATWG HTML, section 9.2): writing frames, and an incremental parser."""

from collections.abc import Iterator
from dataclasses import dataclass

from cloister.errors import TooLarge

CONTENT_TYPE = "text/event-stream; charset=utf-8"
DONE = b"data: [DONE]\n\n"
PING = b": ping\n\n"
"""A comment. Anything else would reach clients as an event without data."""

HEADERS = {
    "content-type": CONTENT_TYPE,
    "cache-control": "no-cache, no-transform",
    "x-accel-buffering": "no",  # nginx would hold the stream back
}

FRAME_LIMIT = 16 * 1024 * 1024


def frame(data: bytes, name: str = "") -> bytes:
    """One event. `data` is one line, as JSON is when no indentation is asked for."""
    assert len(data.splitlines()) < 2, "an event's data must be one line"
    kind = f"event: {name}\n".encode() if name else b""
    return kind + b"data: " + data + b"\n\n"


@dataclass(frozen=True, slots=True)
class Event:
    """What a blank line ends: `data` lines joined by a newline. Comments and ids are left out."""

    data: str
    name: str = "message"

    @property
    def done(self) -> bool:
        return self.data.startswith("[DONE]")


class Parser:
    """Bytes in, events out, whatever the borders of the pieces.

    Lines end in LF, CR or CR LF. An event that the stream breaks off is dropped, as the standard
    says. Raises `TooLarge` when an event grows over `limit` bytes.
    """

    def __init__(self, limit: int = FRAME_LIMIT) -> None:
        self._limit = limit
        self._rest = b""  # the last line so far
        self._lines: list[bytes] = []  # whole lines of the event so far
        self._size = 0
        self._begun = False
        self._after_cr = False

    def feed(self, piece: bytes) -> list[Event]:
        """All events that became whole with `piece`."""
        return [event for line in self._split(piece) if (event := self._line(line)) is not None]

    def _split(self, piece: bytes) -> Iterator[bytes]:
        if self._after_cr and piece:
            piece = piece.removeprefix(b"\n")
            self._after_cr = False
        if not piece:
            return
        self._after_cr = piece.endswith(b"\r")
        lines = (self._rest + piece).splitlines(keepends=True)
        self._rest = b"" if lines and lines[-1].endswith((b"\n", b"\r")) else lines.pop()
        if len(self._rest) + self._size > self._limit:
            raise TooLarge(f"a server-sent event is larger than {self._limit} bytes")
        for line in lines:
            yield line.rstrip(b"\r\n")

    def _line(self, line: bytes) -> Event | None:
        if not self._begun:
            self._begun = True
            line = line.removeprefix(b"\xef\xbb\xbf")
        if not line:
            return self._event()
        self._lines.append(line)
        self._size += len(line)
        return None

    def _event(self) -> Event | None:
        fields = [_field(line) for line in self._lines]
        self._lines, self._size = [], 0
        data = [value for name, value in fields if name == "data"]
        names = [value for name, value in fields if name == "event" and value]
        if not data:
            return None
        return Event("\n".join(data), names[-1] if names else "message")


def _field(line: bytes) -> tuple[str, str]:
    name, _, value = line.decode("utf-8", "replace").partition(":")
    return name, value.removeprefix(" ")
