"""The memory that calls in flight may take, all together."""

import threading


class Budget:
    """Bytes to be taken and given back; who finds too few waits."""

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self._left_bytes = limit_bytes
        self._changed = threading.Condition()

    def take(self, size_bytes: int) -> None:
        """Wait until there is room. A size beyond the limit would wait for ever."""
        assert size_bytes <= self.limit_bytes, "checked when the server starts"
        with self._changed:
            self._changed.wait_for(lambda: size_bytes <= self._left_bytes)
            self._left_bytes -= size_bytes

    def give_back(self, size_bytes: int) -> None:
        with self._changed:
            self._left_bytes += size_bytes
            self._changed.notify_all()

    @property
    def used_bytes(self) -> int:
        return self.limit_bytes - self._left_bytes
