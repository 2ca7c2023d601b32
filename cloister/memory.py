"""How much memory a process maps: in an enclave, each of these bytes is enclave memory."""

from pathlib import Path

SELF = Path("/proc/self")
NOTHING = "---"
"""Address space that is reserved and can be neither read nor written."""


def mapped_bytes(process: Path = SELF) -> int | None:
    """Bytes of all mappings of a process, files included, reservations left out.

    This is what a library operating system must back with enclave memory, whether it is touched or
    not; a resident size would count pages that happen to be in use on this machine. `process` is
    its folder in /proc. None where the home has no such file.
    """
    try:
        lines = (process / "maps").read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    return sum(_size(line) for line in lines)


def _size(line: str) -> int:
    """`55d0c0000000-55d0c0021000 rw-p 00000000 00:00 0   [heap]`"""
    addresses, permissions, *_ = line.split(maxsplit=2)
    begin, _, end = addresses.partition("-")
    return 0 if permissions.startswith(NOTHING) else int(end, 16) - int(begin, 16)
