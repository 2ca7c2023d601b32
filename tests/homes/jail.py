"""A worker in a root file system that its home describes, with its home's system calls.

Not a home: no enclave, no encryption. It shows that the files are enough, and that nothing is asked
of the kernel that the home would not give.
"""

import errno
import json
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from homes.libraries import c_library
from tests.e2e.stack import Program
from tests.homes import calls

ENTER = Path(__file__).parent / "enter.py"
LOADER = "ld-linux-x86-64.so.2"
NEEDED_FOLDERS = ("tmp", "dev", "proc", "lib64")


@dataclass
class Home:
    """What a home's settings describe: files and links by path inside, environment, errors."""

    name: str
    files: dict[str, Path]
    links: dict[str, str]
    env: Mapping[str, str]
    errors: Mapping[str, int] = field(repr=False)
    child_error: int

    def add_c_library(self, folder: str) -> None:
        """glibc, which the home brings itself."""
        for name, path in c_library().items():
            self.files[f"{folder}/{name}"] = path
        self.files[f"/lib64/{LOADER}"] = c_library()[LOADER]


def occlum_home(files: dict[str, Path], links: dict[str, str], env: Mapping[str, str]) -> Home:
    home = Home("occlum", files, links, env, calls.occlum(), errno.ENOSYS)
    home.add_c_library("/lib/x86_64-linux-gnu")
    return home


def gramine_home(
    mounts: Mapping[str, Path], trusted: Sequence[Path], env: Mapping[str, str]
) -> Home:
    """Only trusted files are there, each where a mount puts it."""
    files = {}
    for inside, folder in mounts.items():
        for path in trusted:
            if path == folder:
                files[inside] = path
            elif path.is_relative_to(folder):
                files[f"{inside}/{path.relative_to(folder)}"] = path
    home = Home("gramine", files, {}, env, calls.gramine(), errno.EAGAIN)
    home.files[f"/lib64/{LOADER}"] = c_library()[LOADER]
    return home


class Jail:
    """A home whose root file system lies in a folder, ready to run programs."""

    def __init__(self, home: Home, folder: Path) -> None:
        self.home = home
        self.root = folder / "root"
        self._specs = folder
        self._count = 0
        for name in NEEDED_FOLDERS:
            (self.root / name).mkdir(parents=True)
        for inside, source in home.files.items():
            _put(source, self.root / inside.lstrip("/"))
        for inside, target in home.links.items():
            path = self.root / inside.lstrip("/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.symlink_to(target)

    def start(self, *argv: str) -> Program:
        """Run a program, by its path inside."""
        self._count += 1
        spec = self._specs / f"{self._count}.json"
        spec.write_text(
            json.dumps(
                {
                    "root": str(self.root),
                    "argv": argv,
                    "env": dict(self.home.env),
                    "errors": self.home.errors,
                    "child_error": self.home.child_error,
                }
            )
        )
        return Program((sys.executable, "-P", str(ENTER), str(spec)), {})


def can_jail() -> bool:
    """Root and namespaces are needed."""
    return (
        os.geteuid() == 0 and Path("/proc/self/ns/mnt").exists() and shutil.which("ldd") is not None
    )


def _put(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source.resolve(), target)
    except OSError:
        shutil.copy(source, target)
