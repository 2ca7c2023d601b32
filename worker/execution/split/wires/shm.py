"""Bytes through memory that both processes map: two rings in a file of /dev/shm, on one host.

The worker makes the file, and the server takes its name away as soon as it has mapped it, so that
nothing is left behind when either is killed. Both must run as one user: a stranger could shrink the
file under the other's feet. What the peer writes is copied once before it is looked at, and its
counters are compared with the ring's size.

Nobody can wait for another process here but by looking again, at growing distances. x86-64 alone:
it keeps stores in order, which a counter behind its bytes relies on.
"""

import mmap
import os
import platform
import secrets
import stat
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from cloister.errors import BadSettings
from worker.execution.split.address import Address, Identity

FOLDER = Path("/dev/shm")
RING_BYTES = 4 * 2**20
HEAD_BYTES = 4096
PIECE_BYTES = 2**18  # shown to the reader at once, who takes it while the next is written
SIZE_BYTES = HEAD_BYTES + 2 * RING_BYTES
MAGIC = int.from_bytes(b"CLSPRING", "little")

TAKEN_WORD = 0
"""Places of 64-bit words in the head, each in a cache line of its own; then, for each side:"""
WRITTEN, READ, BEAT, CLOSED = 0, 8, 16, 24
SIDES = (64, 128)  # the worker's words, the server's

FIRST_NAP_S, LONGEST_NAP_S = 20e-6, 2e-3
LOOK_S = 0.02  # between looks for workers that knock
BEAT_S = 1.0
PATIENCE_S = 15.0  # a peer that does not beat for so long is dead


class Shm:
    """One end of two rings. `side` is 0 for the worker, 1 for the server."""

    def __init__(self, mapped: mmap.mmap, side: int) -> None:
        self._mapped = mapped
        self._bytes = memoryview(mapped)
        self._words = self._bytes[:HEAD_BYTES].cast("Q")
        rings = [self._bytes[HEAD_BYTES + k * RING_BYTES :][:RING_BYTES] for k in (0, 1)]
        self._out, self._in = rings[side], rings[1 - side]
        self._mine, self._peer = SIDES[side], SIDES[1 - side]
        self._written = self._read = 0  # what this side believes, whatever the file says
        self._shut = threading.Event()
        self._patience_s = PATIENCE_S
        self._beating = threading.Thread(target=self._beat, name="beat", daemon=True)
        self._beating.start()

    def write(self, pieces: Sequence[memoryview], deadline: float) -> None:
        for piece in pieces:
            left = piece
            while len(left):
                room = min(self._until(self._room, deadline), PIECE_BYTES)
                self._put(left[:room])
                left = left[room:]

    def read(self, place: memoryview, deadline: float | None) -> int:
        count = min(len(place), self._until(self._ready, deadline))
        for here, part in _parts(self._read, count):
            place[part] = self._in[here]
        self._read += count
        self._words[self._mine + READ] = self._read
        return count

    def shut(self) -> None:
        self._shut.set()
        with suppress(ValueError):  # closed already
            self._words[self._mine + CLOSED] = 1

    def close(self) -> None:
        self.shut()
        self._beating.join()
        for view in (self._words, self._out, self._in, self._bytes):
            view.release()
        self._mapped.close()

    def _put(self, piece: memoryview) -> None:
        for here, part in _parts(self._written, len(piece)):
            self._out[here] = piece[part]
        self._written += len(piece)
        self._words[self._mine + WRITTEN] = self._written

    def _room(self) -> int:
        return RING_BYTES - _sane(self._written - self._words[self._peer + READ])

    def _ready(self) -> int:
        return _sane(self._words[self._peer + WRITTEN] - self._read)

    def _until(self, count: Callable[[], int], deadline: float | None) -> int:
        """Look until there is something; at most an eighth of the wait is lost."""
        began = now = time.monotonic()
        while not self._shut.is_set():
            closed = self._words[self._peer + CLOSED]  # before the last look
            if found := count():
                return found
            if closed:
                break
            if deadline is not None and now >= deadline:
                raise TimeoutError("the peer is too slow")
            time.sleep(min(max((now - began) / 8, FIRST_NAP_S), LONGEST_NAP_S))
            now = time.monotonic()
        raise ConnectionResetError("the connection has ended")

    def _beat(self) -> None:
        """Show that this side lives, and look whether the other one does."""
        seen, since = -1, time.monotonic()
        while not self._shut.wait(min(BEAT_S, self._patience_s / 4)):
            self._words[self._mine + BEAT] += 1
            now, beat = time.monotonic(), self._words[self._peer + BEAT]
            if beat != seen:
                seen, since = beat, now
            elif now - since > self._patience_s:
                self.shut()


class ShmListener:
    """Looks for workers' files. Only one server gets each: the one that takes its name away."""

    def __init__(self, address: Address) -> None:
        _check_machine()
        self.url = address.url
        self._prefix = _prefix(address)
        self._closed = threading.Event()

    def start(self) -> None:
        pass  # a file that is there waits

    def accept(self) -> Shm:
        while not self._closed.wait(LOOK_S):
            for path in FOLDER.glob(f"{self._prefix}*"):
                with suppress(OSError):
                    if mapped := _taken(path):
                        return Shm(mapped, 1)
        raise ConnectionAbortedError("closed")

    def close(self) -> None:
        self._closed.set()


def connect(address: Address, timeout_s: float) -> Shm:
    _check_machine()
    deadline = time.monotonic() + timeout_s
    path = FOLDER / f"{_prefix(address)}{secrets.token_hex(8)}"
    with _removed(path):
        mapped = _made(path)
        with memoryview(mapped)[:HEAD_BYTES].cast("Q") as words:
            while words[TAKEN_WORD] != MAGIC:
                if time.monotonic() >= deadline:
                    raise TimeoutError(f"no server takes {address.url}")
                time.sleep(LONGEST_NAP_S)
    return Shm(mapped, 0)


def listen(address: Address, identity: Identity | None) -> ShmListener:
    del identity
    return ShmListener(address)


def _made(path: Path) -> mmap.mmap:
    """A new file, all its memory taken now: to find none later would be a signal, not an error."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    try:
        os.posix_fallocate(descriptor, 0, SIZE_BYTES)
        return mmap.mmap(descriptor, SIZE_BYTES)
    finally:
        os.close(descriptor)


def _taken(path: Path) -> mmap.mmap | None:
    """A worker's file, which from now on has no name; none while it is not ready."""
    descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW)
    try:
        found = os.fstat(descriptor)
        is_ours = stat.S_ISREG(found.st_mode) and found.st_uid == os.geteuid()
        if not is_ours or found.st_size != SIZE_BYTES:
            if is_ours and time.time() - found.st_mtime > PATIENCE_S:
                path.unlink()  # its maker was killed
            return None
        mapped = mmap.mmap(descriptor, SIZE_BYTES)
    finally:
        os.close(descriptor)
    path.unlink()  # fails if another server was first
    with memoryview(mapped)[:HEAD_BYTES].cast("Q") as words:
        words[TAKEN_WORD] = MAGIC
    return mapped


@contextmanager
def _removed(path: Path) -> Iterator[None]:
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def _parts(start: int, count: int) -> Iterator[tuple[slice, slice]]:
    """Where `count` bytes from place `start` on lie in the ring, and in the piece: once around."""
    here = start % RING_BYTES
    first = min(count, RING_BYTES - here)
    yield slice(here, here + first), slice(0, first)
    if first < count:
        yield slice(0, count - first), slice(first, count)


def _sane(count: int) -> int:
    if not 0 <= count <= RING_BYTES:
        raise ConnectionAbortedError("the peer's counters are wrong")
    return count


def _prefix(address: Address) -> str:
    return f"cloister-{address.host}."


def _check_machine() -> None:
    if platform.machine() not in ("x86_64", "AMD64"):
        raise BadSettings(f"shm:// is for x86-64, not {platform.machine()}: use tcp://")
