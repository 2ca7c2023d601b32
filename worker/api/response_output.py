"""From the parts of an answer to a response's items, and to the events that tell how they grow."""

import itertools
from collections.abc import Iterator

from cloister.wire.response_events import AnyEvent
from cloister.wire.response_items import Item
from worker.api.choice import Piece
from worker.api.growing_items import End, GrowingCall, GrowingItem, GrowingMessage, GrowingThought
from worker.api.parts import Arguments, Call, Content, Part, Reasoning


class Output:
    """The items so far, one of which may still grow. Events are numbered from 0."""

    def __init__(self) -> None:
        self.items: list[Item] = []
        self.reasoning_tokens = 0
        self._numbers = itertools.count()
        self._growing: GrowingItem | None = None

    def number(self) -> int:
        """The next event's."""
        return next(self._numbers)

    def add(self, piece: Piece) -> Iterator[AnyEvent]:
        """Take a piece of one part or none."""
        for part in piece.parts:
            if isinstance(part, Reasoning):
                self.reasoning_tokens = piece.generated
            if self._growing is None or not self._growing.takes(part):
                yield from self._begin(part)
            assert self._growing is not None, "an item has begun"
            if not isinstance(part, Call):
                yield self._growing.grow(part.text, piece.entries)

    def end(self, status: End) -> Iterator[AnyEvent]:
        """Nothing more comes. A response of no item at all gets an empty message."""
        if not self.items and self._growing is None:
            yield from self._begin(Content(""))
        yield from self._close(status)

    def _begin(self, part: Part) -> Iterator[AnyEvent]:
        yield from self._close("completed")
        place = (len(self.items), self.number)
        match part:
            case Content():
                self._growing = GrowingMessage(*place)
            case Reasoning():
                self._growing = GrowingThought(*place)
            case Call():
                self._growing = GrowingCall(*place, part)
            case Arguments():
                raise AssertionError("arguments follow their call")
        yield from self._growing.begin()

    def _close(self, status: End) -> Iterator[AnyEvent]:
        if self._growing is not None:
            growing, self._growing = self._growing, None
            yield from growing.end(status)
            self.items.append(growing.item(status))
