"""Programs and shared libraries: which ones load which, as the system's own loader finds them."""

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

from cloister.errors import CloisterError

C_LIBRARY = (
    *("ld-linux-x86-64.so.2", "libanl.so.1", "libc.so.6", "libdl.so.2", "libm.so.6"),
    *("libnss_dns.so.2", "libnss_files.so.2", "libpthread.so.0", "libresolv.so.2"),
    *("librt.so.1", "libutil.so.1"),
)
"""Parts of glibc: each home brings its own."""

MAGIC = b"\x7fELF"
FOUND = re.compile(r"^\t(?:(\S+) => )?(/\S+) \(0x", re.MULTILINE)


class CannotStrip(CloisterError):
    """There is no `strip`, or it failed."""


def needed(folder: Path, beside: Path) -> dict[str, Path]:
    """Libraries by name that files below `folder` load and that are neither there nor glibc's.

    `beside` is searched first, as the home's loader will.
    """
    loaded = _loaded([str(path) for path in elf_files(folder)], beside)
    inside = folder.resolve()
    return {
        name: path
        for name, path in loaded.items()
        if name not in C_LIBRARY and not path.resolve().is_relative_to(inside)
    }


def c_library() -> dict[str, Path]:
    """This machine's glibc, by name: what a home brings for its own."""
    folder = _loaded([os.path.realpath("/proc/self/exe")], Path("/lib"))["libc.so.6"].parent
    return {name: folder / name for name in C_LIBRARY if (folder / name).exists()}


def strip(path: Path) -> None:
    """Take away the symbols that only debuggers read: a fifth of libtorch_cpu.so.

    The file is replaced, so one that it shares its bytes with stays as it is. Raises `CannotStrip`.
    """
    stripped = path.with_name(f"{path.name}.stripped")
    try:
        words = ["strip", "-o", str(stripped), str(path)]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise CannotStrip("there is no `strip`; on Debian: apt-get install binutils") from None
    if done.returncode:
        raise CannotStrip(done.stderr.strip())
    stripped.replace(path)


def elf_files(folder: Path) -> Iterator[Path]:
    """Programs and libraries below a folder."""
    for path in sorted(folder.rglob("*")):
        if path.is_file() and _starts_as_elf(path):
            yield path


def _starts_as_elf(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(len(MAGIC)) == MAGIC


def _loaded(files: list[str], beside: Path) -> dict[str, Path]:
    environment = {"PATH": os.environ["PATH"], "LD_LIBRARY_PATH": str(beside), "LC_ALL": "C"}
    done = subprocess.run(
        ["ldd", *files], env=environment, capture_output=True, text=True, check=False
    )
    return {name or Path(path).name: Path(path) for name, path in FOUND.findall(done.stdout)}
