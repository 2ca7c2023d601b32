"""Examples of the documents, run against the real stack."""

import json
import shutil
import subprocess
import sys

import pytest

from tests.docs.pages import API_URL, Block, blocks, shell_commands
from tests.e2e.stack import Stack

CURLS = [line for line in shell_commands() if line.startswith("curl ") and API_URL[:-3] in line]
PROGRAMS = [block for block in blocks("python") if API_URL in block.text]


def at(stack: Stack, text: str) -> str:
    return text.replace(API_URL.removesuffix("/v1"), stack.controller_url)


def test_there_are_examples() -> None:
    assert CURLS
    assert PROGRAMS


@pytest.mark.skipif(not shutil.which("curl"), reason="curl is not installed")
@pytest.mark.parametrize("line", CURLS)
def test_curl_example_answers(stack: Stack, line: str) -> None:
    command = ["bash", "-c", at(stack, line) + " --fail-with-body --silent"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    if "chat/completions" in line and '"stream": true' not in line:
        assert json.loads(done.stdout)["choices"]


@pytest.mark.parametrize("block", PROGRAMS, ids=lambda block: block.page)
def test_program_example_runs(stack: Stack, block: Block) -> None:
    command = [sys.executable, "-c", at(stack, block.text)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()
