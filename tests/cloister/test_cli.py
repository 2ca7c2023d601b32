"""The `cloister` command: a table, loaded on demand."""

import subprocess
import sys

import pytest

from cloister import __version__
from cloister.cli import COMMANDS, main


def test_help_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    text = capsys.readouterr().out
    assert all(f"\n  {name} " in text for name in COMMANDS)


def test_unknown_command_names_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["wroker"]) == 2
    assert capsys.readouterr().err == "error: unknown command wroker; did you mean worker?\n"


@pytest.mark.parametrize("words", [["version"], ["--version"]])
def test_version_is_the_packages(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 0
    assert capsys.readouterr().out == f"cloister {__version__}\n"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_entry_is_a_function_of_its_words(name: str) -> None:
    from cloister.cli import _load

    assert callable(_load(COMMANDS[name]))


def test_help_loads_nothing_heavy() -> None:
    program = (
        "import sys; before = set(sys.modules); from cloister.cli import main; main(['--help']);"
        "sys.exit(','.join(set(sys.modules) & {'torch', 'pydantic', 'httpx', 'rich', 'gradio'}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.stderr.strip() == ""
