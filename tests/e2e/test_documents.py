"""Examples of the documents, run against the real stack."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.pages import API_URL, Block, blocks
from tests.e2e.stack import Stack, needs_curl

ADDRESS = API_URL.removesuffix("/v1")
STRICT_CURL = "silent\nshow-error\nfail-with-body\n"
"""What curl reads as its own settings: an error status is a failure."""

RUN_EACH = "import runpy, sys; [runpy.run_path(file, {}, '__main__') for file in sys.argv[1:]]"


def asks(block: Block) -> bool:
    return ADDRESS in block.text


SCRIPTS = [block for block in blocks("bash", "sh") if asks(block) and "curl " in block.text]
PROGRAMS = [block for block in blocks("python") if asks(block)]


def run(command: list[str], **environment: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, **environment}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=env)
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def at(stack: Stack, text: str) -> str:
    return text.replace(ADDRESS, stack.controller_url)


def name(block: Block) -> str:
    return f"{block.page}-{block.text.splitlines()[0][:40]}"


def test_there_are_examples() -> None:
    assert {block.page for block in SCRIPTS} >= {"README.md", "docs/api.md"}
    assert {block.page for block in PROGRAMS} >= {"README.md", "docs/api.md"}


def test_every_example_of_the_api_is_run() -> None:
    shown = [block for block in blocks("bash", "sh", "python") if block.page == "docs/api.md"]
    assert [block.text for block in shown if block not in SCRIPTS + PROGRAMS] == []


@needs_curl
@pytest.mark.parametrize("block", SCRIPTS, ids=name)
def test_curl_example_answers(stack: Stack, block: Block, tmp_path: Path) -> None:
    (tmp_path / ".curlrc").write_text(STRICT_CURL)
    script = f"set -euo pipefail\n{at(stack, block.text)}"
    assert run(["bash", "-c", script], CURL_HOME=str(tmp_path)).stdout.strip()


def test_program_examples_run(stack: Stack, tmp_path: Path) -> None:
    """In one process, as importing an SDK takes longest; a traceback names the example's file."""
    files = [
        tmp_path / f"{place}-{Path(block.page).stem}.py" for place, block in enumerate(PROGRAMS)
    ]
    for file, block in zip(files, PROGRAMS, strict=True):
        file.write_text(at(stack, block.text) + f"\nprint('\\nran {file.name}')\n")
    said = run([sys.executable, "-c", RUN_EACH, *map(str, files)]).stdout
    assert re.findall(r"^ran (.*)$", said, re.MULTILINE) == [file.name for file in files]
