"""An engine that plays a script, or what a test pushes, and remembers what it was asked."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from cloister.errors import CloisterError
from worker.engine.request import Event, Finish, Listener, Load, Request, Token

IDLE = Load(0, 0, 0, 0, 0.0, 0, 100)


def tokens(*texts: str, finish: Finish = Finish.STOP, cached: int = 0) -> list[Token]:
    """One token a text; the last one ends the sequence."""
    last = len(texts)
    return [
        Token(100 + place, text, finish if place == last else None, place, cached)
        for place, text in enumerate(texts, start=1)
    ]


@dataclass
class FakeEngine:
    """Answers each request with `script` at once; with none, the test pushes events itself."""

    script: Sequence[Event] | None = field(default_factory=lambda: tokens("Hel", "lo", "!"))
    refusal: CloisterError | None = None
    requests: list[Request] = field(default_factory=list)
    cancelled: list[str] = field(default_factory=list)
    numbers: Load = IDLE
    _listeners: list[Listener] = field(default_factory=list)

    def submit(self, request: Request, listener: Listener) -> None:
        if self.refusal is not None:
            raise self.refusal
        self.requests.append(request)
        self._listeners.append(listener)
        for event in self.script or ():
            listener(event)

    def cancel(self, request_id: str) -> None:
        self.cancelled.append(request_id)

    def load(self) -> Load:
        return self.numbers

    def push(self, *events: Event, place: int = -1) -> None:
        """Let the latest request hear something, or the one in another place."""
        for event in events:
            self._listeners[place](event)
