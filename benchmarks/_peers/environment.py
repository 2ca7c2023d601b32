"""Prepares what peers need, once: an environment each, and the model in each one's own format.

What is ready says so in a file beside it that holds how it was made; it is made again when that
has changed. A step that fails tells why, and the peer is reported as missing.
"""

import fcntl
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks._peers.process import ROOT, PeerFailed, last_words, tied


@dataclass(frozen=True)
class Environment:
    """A virtual environment: exact `packages`, then `steps`, commands that may be repeated.

    Words in braces are filled in: `python` and `folder` of the environment, `jobs` of a compiler.
    """

    name: str
    packages: tuple[str, ...]
    steps: tuple[tuple[str, ...], ...] = ()


def prepare(environment: Environment, cache: Path, jobs: int) -> Path:
    """The environment's folder, made if it is not ready. Raises `PeerFailed`."""
    folder = cache / environment.name
    marker = folder / "ready.json"
    recipe = json.dumps(asdict(environment), indent=1)
    if marker.is_file() and marker.read_text(encoding="utf-8") == recipe:
        return folder
    with alone(folder):
        marker.unlink(missing_ok=True)
        words = {"python": str(python(folder)), "folder": str(folder), "jobs": str(jobs)}
        install = (words["python"], "-m", "pip", "install", "--quiet", *environment.packages)
        for step in ((sys.executable, "-m", "venv", f"{folder}/venv"), install, *environment.steps):
            run(filled(step, words), folder / "prepare.log")
        marker.write_text(recipe, encoding="utf-8")
    return folder


def python(folder: Path) -> Path:
    """The interpreter of an environment's folder."""
    return folder / "venv" / "bin" / "python"


def convert(command: Sequence[str], target: Path) -> Path:
    """Run `command` followed by a place to write to, which becomes `target` when all is written."""
    with alone(target.parent):
        if not target.exists():
            partial = target.with_name(f"{target.name}.partial")
            remove(partial)
            run((*command, str(partial)), target.with_name(f"{target.name}.log"))
            partial.rename(target)
    return target


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Make a folder, and work in it when no other run does."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def remove(path: Path) -> None:
    """Remove a file or a folder, if it is there."""
    if path.is_dir():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)


def run(command: Sequence[str], log: Path) -> None:
    """Run a command to its end. Raises `PeerFailed` telling where it said what."""
    if shutil.which(command[0]) is None:
        raise PeerFailed(f"{command[0]} is not installed")
    with log.open("ab") as words:
        done = subprocess.run(
            tied(command),
            stdin=subprocess.DEVNULL,
            stdout=words,
            stderr=words,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            check=False,
        )
    if done.returncode:
        name = " ".join(Path(word).name for word in command[:4])
        raise PeerFailed(f"`{name} ...` gave {done.returncode}; {last_words(log)}")


def filled(command: Sequence[str], words: Mapping[str, str]) -> tuple[str, ...]:
    """A command with the words in braces filled in."""
    return tuple(word.format_map(words) for word in command)
