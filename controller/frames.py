"""What of an answer may be sent on at once, and what ends one that broke off."""

import json
from typing import Protocol

from cloister import anthropic, sse
from cloister.errors import CloisterError, TooLarge

BORDERS = (b"\n\n", b"\r\n\r\n", b"\r\r")
LONGEST_BORDER = 4


class Frames(Protocol):
    """Pieces in, pieces out: the same bytes, perhaps some of them later."""

    def take(self, piece: bytes) -> bytes:
        """What may be sent now."""

    def rest(self) -> bytes:
        """What is still held when the answer ends well."""

    def ending(self, error: CloisterError) -> bytes | None:
        """What makes a broken answer whole; None if nothing can."""


class Events:
    """Server-sent events, sent on up to the last whole one, so that no client sees half of one.

    Workers write whole events, so as a rule nothing is held and nothing is copied.
    """

    def __init__(self, limit: int = sse.FRAME_LIMIT) -> None:
        self._limit = limit
        self._held = bytearray()
        self._last = b""

    def take(self, piece: bytes) -> bytes:
        """Raises `TooLarge` when one event is longer than the limit."""
        if not self._held and piece.endswith(BORDERS):
            self._last = piece
            return piece
        known = max(0, len(self._held) - LONGEST_BORDER)
        self._held += piece
        border = max(_end_of(mark, self._held, known) for mark in BORDERS)
        whole = bytes(self._held[:border])
        del self._held[:border]
        if len(self._held) > self._limit:
            raise TooLarge(f"a server-sent event is larger than {self._limit} bytes")
        self._last = whole or self._last
        return whole

    def rest(self) -> bytes:
        return bytes(self._held)

    def ending(self, error: CloisterError) -> bytes:
        """An error event and `[DONE]`; nothing behind a `[DONE]` that is out already."""
        if self._last.rstrip().endswith(b"data: [DONE]"):
            return b""
        return sse.frame(json.dumps(error.body()).encode()) + sse.DONE


class MessageEvents(Events):
    """Anthropic's: the last event is `message_stop`, or an error."""

    def ending(self, error: CloisterError) -> bytes:
        named = [event for event in self._last.split(b"\n\n") if event.startswith(b"event: ")]
        is_over = named and named[-1].startswith((b"event: message_stop", b"event: error"))
        return b"" if is_over else anthropic.event(anthropic.error_body(error))


class Plain:
    """Any other answer. When it breaks off, only cutting the connection tells the client."""

    def take(self, piece: bytes) -> bytes:
        return piece

    def rest(self) -> bytes:
        return b""

    def ending(self, _: CloisterError) -> None:
        return None


def _end_of(mark: bytes, held: bytearray, start: int) -> int:
    """Where the last `mark` ends; 0 if there is none."""
    return held.rfind(mark, start) + len(mark) if mark in held[start:] else 0
