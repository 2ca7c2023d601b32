"""Documents say what is so: commands, flags, variables, settings and links exist."""

import importlib
import re
import shlex
import subprocess
import sys
import tomllib
from functools import cache
from itertools import takewhile

import pytest

from cloister.cli import COMMANDS
from cloister.settings import Settings
from tests.docs.pages import ROOT, Block, blocks, inline_commands, links, pages, shell_commands

OPERATORS = {"&", "&&", "|", "||", ";", ">", "<", "2>&1"}


@cache
def programs() -> dict[str, type[Settings]]:
    """Every settings class by its program."""
    for command in COMMANDS.values():
        importlib.import_module(command.entry.partition(":")[0])
    return {cls.program: cls for cls in derived(Settings) if cls.__module__[:5] != "tests"}


def derived(base: type[Settings]) -> list[type[Settings]]:
    return [cls for each in base.__subclasses__() for cls in (each, *derived(each))]


@cache
def help_of(*command: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", *command, "--help"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def ours() -> list[str]:
    words = ("cloister ", "make ", "python -m ", ".venv/bin/cloister ")
    found = [*shell_commands(), *inline_commands()]
    return sorted({line for line in found if line.startswith(words)})


def test_there_is_a_readme_with_commands() -> None:
    assert ROOT / "README.md" in pages()
    assert "make run" in shell_commands()


@pytest.mark.parametrize("line", ours())
def test_command_and_its_flags_exist(line: str) -> None:
    words = shlex.split(line.removeprefix(".venv/bin/"), comments=True)
    words = list(takewhile(lambda word: word not in OPERATORS, words))
    flags = {word.partition("=")[0] for word in words[1:] if word.startswith("--")}
    match words:
        case ["make", target, *_]:
            assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE)
            flags = set()
            text = ""
        case ["cloister", name, *_]:
            text = help_of("cloister") if name.startswith("-") else help_of("cloister", name)
            assert name in COMMANDS or name.startswith("-")
        case ["python", "-m", "pytest" | "venv" | "pip", *_]:
            return
        case ["python", "-m", module, *_]:
            text = help_of(module)
        case _:
            pytest.fail(f"what is {line!r}?")
    assert {flag for flag in flags if not re.search(rf"{flag}\b", text)} == set()


@pytest.mark.parametrize("name", sorted({
    name for page in pages() for name in re.findall(r"\bCLOISTER_[A-Z_]+\b", page.read_text())
}))  # fmt: skip
def test_environment_variable_exists(name: str) -> None:
    known = {"CLOISTER_CONFIG"} | {
        f"CLOISTER_{program}_{field}".upper()
        for program, cls in programs().items()
        for field in cls.model_fields
    }
    assert name in known


@pytest.mark.parametrize("block", blocks("toml"), ids=lambda block: block.page)
def test_settings_example_is_valid(block: Block) -> None:
    content = tomllib.loads(block.text)
    for program, values in content.items():
        programs()[program](**values)


@pytest.mark.parametrize("block", blocks("python"), ids=lambda block: block.page)
def test_python_example_is_python(block: Block) -> None:
    compile(block.text, block.page, "exec")


@pytest.mark.parametrize(("page", "target"), links())
def test_link_leads_somewhere(page: str, target: str) -> None:
    assert ((ROOT / page).parent / target).exists()
