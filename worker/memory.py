"""Asks the system for memory as serving wants it, and gives back what only loading needed."""

import ctypes
import mmap
import re
from collections.abc import Iterator
from pathlib import Path

SMAPS = Path("/proc/self/smaps")
CODE = re.compile(
    r"^([0-9a-f]+)-([0-9a-f]+) r-xp \S+ \S+ \S+ +/.*\n(?:[A-Z]\w+:.*\n)*?Anonymous: +0 kB$", re.M
)
"""A file's code, of which no page was ever changed."""


def give_back() -> None:
    """Free what is free within the process, and forget code until it runs again.

    glibc keeps freed blocks for later ones, and importing PyTorch runs through 60 MiB of code once.
    Where a system cannot do the one or the other, nothing happens.
    """
    library = ctypes.CDLL(None)
    if hasattr(library, "malloc_trim"):  # glibc alone has it
        library.malloc_trim(0)
    if comes_back(Path(__file__)):
        for begin, size in _code():
            library.madvise(ctypes.c_void_p(begin), ctypes.c_size_t(size), mmap.MADV_DONTNEED)


def in_large_pages(address: int, size_bytes: int) -> None:
    """Let memory that is not written yet come in pages of 2 MiB where it can.

    It takes no more room: a large page lies within the memory or is not there. Where a system has
    none, nothing happens.
    """
    begin = -(-address // mmap.PAGESIZE) * mmap.PAGESIZE
    end = (address + size_bytes) // mmap.PAGESIZE * mmap.PAGESIZE
    if begin < end and hasattr(mmap, "MADV_HUGEPAGE"):  # Linux alone has it
        library, size = ctypes.CDLL(None), ctypes.c_size_t(end - begin)
        library.madvise(ctypes.c_void_p(begin), size, mmap.MADV_HUGEPAGE)


def comes_back(path: Path) -> bool:
    """Is a mapped file read again where it was forgotten? A library OS might give zeros."""
    try:
        with path.open("rb") as file:
            whole = file.read()
            with mmap.mmap(file.fileno(), 0, mmap.MAP_PRIVATE, mmap.PROT_READ) as mapped:
                before = mapped[:]
                mapped.madvise(mmap.MADV_DONTNEED)
                return before == mapped[:] == whole
    except OSError:
        return False


def _code() -> Iterator[tuple[int, int]]:
    """Address and size of the code of each file; nothing where the system does not tell."""
    try:
        told = SMAPS.read_text(encoding="utf-8")
    except OSError:
        return
    for found in CODE.finditer(told):
        begin, end = int(found[1], 16), int(found[2], 16)
        yield begin, end - begin
