"""Runs the programs that the check needs, and tells what one said when it failed."""

import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import IO

from cloister.errors import CloisterError

LAST_LINES = 15


class Failed(CloisterError):
    """A step of the check that did not go as it should."""


def run(
    *words: str,
    environment: Mapping[str, str] | None = None,
    source: IO[bytes] | None = None,
    folder: Path | None = None,
) -> str:
    """What a program wrote. Raises `Failed` with its last lines when its exit status is not 0."""
    done = subprocess.run(
        words,
        env=environment,
        stdin=source or subprocess.DEVNULL,
        capture_output=True,
        cwd=folder,
        check=False,
    )
    told = done.stdout.decode(errors="replace")
    if done.returncode != 0:
        raise Failed(failure(words, done.returncode, told + done.stderr.decode(errors="replace")))
    return told.strip()


def failure(words: tuple[str, ...], status: int, told: str) -> str:
    """A program's end in words: the command without its options, its status, its last lines."""
    name = " ".join(word for word in words[:3] if not word.startswith("-"))
    lines = [f"{name}: exit status {status}", *told.strip().splitlines()[-LAST_LINES:]]
    return "\n  ".join(lines)
