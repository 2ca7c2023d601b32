"""`make`: what it lists, what it refuses, and that nothing is installed twice."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")

pytestmark = pytest.mark.skipif(not shutil.which("make"), reason="make is not installed")


def make(*words: str) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    return subprocess.run(
        ["make", "--no-print-directory", *words],
        cwd=ROOT,
        env=clean,
        capture_output=True,
        text=True,
        check=False,
    )


def test_help_lists_every_command_that_explains_itself() -> None:
    told = re.findall(r"^make (\w+) ", make("help").stdout, re.MULTILINE)
    assert told == re.findall(r"^(\w+):.*##", MAKEFILE, re.MULTILINE)
    assert {"run", "test", "check"} <= set(told)


def test_old_python_is_told_what_is_needed() -> None:
    done = make("--always-make", "PYTHON=false", ".venv/.installed")
    assert done.returncode != 0
    assert "needs Python 3.11 or newer" in done.stderr


@pytest.mark.skipif(not (ROOT / ".venv/.installed").exists(), reason="not installed by `make run`")
def test_second_run_starts_the_stack_at_once() -> None:
    done = make("--dry-run", "run", "ARGS=--workers 2")
    assert done.stdout == "exec .venv/bin/cloister up --workers 2\n"
