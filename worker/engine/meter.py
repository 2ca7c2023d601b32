"""Measures what the engine does a second while it works: tokens computed, sequences ended."""

import math

MEMORY_S = 10.0  # older work fades with this time constant


class Meter:
    """Fading averages over busy time; idle time does not count."""

    def __init__(self) -> None:
        self._tokens = 0.0
        self._ends = 0.0
        self._seconds = 0.0

    @property
    def tokens_per_s(self) -> float:
        """0 before the first step."""
        return self._tokens / self._seconds if self._seconds else 0.0

    @property
    def ends_per_s(self) -> float:
        """0 before the first end."""
        return self._ends / self._seconds if self._seconds else 0.0

    def count(self, tokens: int, seconds: float) -> None:
        """A step has computed so many tokens in so many seconds."""
        fade = math.exp(-seconds / MEMORY_S)
        self._tokens = self._tokens * fade + tokens
        self._ends *= fade
        self._seconds = self._seconds * fade + seconds

    def end(self) -> None:
        """A sequence has left, whichever way."""
        self._ends += 1
