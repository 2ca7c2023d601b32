"""A part in a root file system that its home describes, with its home's system calls.

Not a home: no enclave, no encryption. It shows that the files are enough, and that nothing is asked
of the kernel that the home would not give.
"""

import errno
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from homes import gramine
from homes.bom import Layout
from homes.libraries import c_library
from tests.e2e.stack import Program
from tests.homes import calls

ENTER = Path(__file__).parent / "enter.py"
LOADER = "ld-linux-x86-64.so.2"
NEEDED_FOLDERS = ("tmp", "dev", "proc", "lib64")


@dataclass
class Home:
    """What a home's settings describe: files and links by path inside, command, environment."""

    argv: Sequence[str]
    files: dict[str, Path]
    links: dict[str, str]
    env: Mapping[str, str]
    errors: Mapping[str, int] = field(repr=False)
    child_error: int


def occlum_home(
    argv: Sequence[str],
    layout: Layout,
    env: Mapping[str, str],
    libraries: Mapping[str, Path] | None = None,
) -> Home:
    """`libraries` are the home's glibc, by name."""
    libraries = libraries or c_library()
    files = {f"/lib/x86_64-linux-gnu/{name}": path for name, path in libraries.items()}
    files |= {**layout.files, f"/lib64/{LOADER}": libraries[LOADER]}
    return Home(argv, files, layout.links, env, calls.occlum(), errno.ENOSYS)


def gramine_home(manifest: Mapping[str, Any]) -> Home:
    """Only trusted files are there, each where a mount puts it."""
    files = {}
    trusted = gramine.trusted_of(manifest)
    for inside, folder in gramine.mounts_of(manifest).items():
        for path in trusted:
            if path == folder:
                files[inside] = path
            elif path.is_relative_to(folder):
                files[f"{inside}/{path.relative_to(folder)}"] = path
    files[f"/lib64/{LOADER}"] = c_library()[LOADER]
    argv, env = manifest["loader"]["argv"], gramine.environment_of(manifest)
    return Home(argv, files, {}, env, calls.gramine(), errno.EAGAIN)


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
    """Root, and the right to make mounts of one's own, are needed."""
    if os.geteuid() != 0 or not all(map(shutil.which, ("ldd", "unshare"))):
        return False
    return subprocess.run(["unshare", "--mount", "true"], capture_output=True).returncode == 0


def _put(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source.resolve(), target)
    except OSError:
        shutil.copy(source, target)
