"""Which files of a folder are opened, by whatever process and through whatever mount."""

import ctypes
import os
import struct
from collections.abc import Iterator
from pathlib import Path

OPEN, FOLDER = 0x20, 0x40000000  # IN_OPEN, IN_ISDIR
EVENT = struct.Struct("iIII")  # watch, what happened, cookie, bytes of the name
AT_ONCE_BYTES = 2**20
LIBC = ctypes.CDLL(None, use_errno=True)


class Opened:
    """Notes the files below `folder` that are opened while it is entered."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._folders: dict[int, Path] = {}

    def __enter__(self) -> "Opened":
        self._notes = LIBC.inotify_init1(os.O_NONBLOCK)
        assert self._notes >= 0, os.strerror(ctypes.get_errno())
        for path, _, _ in os.walk(self._folder):
            watch = LIBC.inotify_add_watch(self._notes, path.encode(), OPEN)
            assert watch >= 0, os.strerror(ctypes.get_errno())
            self._folders[watch] = Path(path).relative_to(self._folder)
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._notes)

    def files(self) -> set[str]:
        """The files that have been opened since this was last asked."""
        return {
            (self._folders[watch] / name).as_posix()
            for watch, what, name in self._events()
            if not what & FOLDER
        }

    def _events(self) -> Iterator[tuple[int, int, str]]:
        while chunk := self._read():
            place = 0
            while place < len(chunk):
                watch, what, _, size = EVENT.unpack_from(chunk, place)
                assert watch in self._folders, "more was opened than the kernel keeps notes of"
                place += EVENT.size
                yield watch, what, chunk[place : place + size].rstrip(b"\0").decode()
                place += size

    def _read(self) -> bytes:
        try:
            return os.read(self._notes, AT_ONCE_BYTES)
        except BlockingIOError:
            return b""
