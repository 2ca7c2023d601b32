"""The documents of the repository, and what in them can be checked or run."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
API_URL = "http://127.0.0.1:8000/v1"
"""The address that examples in documents use."""

FENCE = re.compile(r"^( *)```(\w*)[^\n]*\n(.*?)^\1```", re.MULTILINE | re.DOTALL)
CODE = re.compile(r"`([^`\n]+)`")
LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)|src=\"([^\"]+)\"")


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced example. `language` is what stands behind the fence."""

    page: str
    language: str
    text: str


def pages() -> list[Path]:
    found = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), ROOT / "worker/novice/README.md"]
    return sorted(page for page in found if page.exists() and page.name != "CHANGELOG.md")


def blocks(*languages: str) -> list[Block]:
    return [
        Block(str(page.relative_to(ROOT)), language, text)
        for page in pages()
        for _, language, text in FENCE.findall(page.read_text(encoding="utf-8"))
        if language in languages
    ]


def shell_commands() -> list[str]:
    """Every command of shell examples, continuation lines joined, prompts and comments gone."""
    found = []
    for block in blocks("bash", "sh", "shell", "console"):
        lines = block.text.replace("\\\n", " ").splitlines()
        if block.language == "console":
            lines = [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]
        found += [line.strip() for line in lines if line.strip() and not line.startswith("#")]
    return found


def inline_commands() -> Iterator[str]:
    """Commands of ours inside sentences, such as `cloister up --model X`."""
    for page in pages():
        prose = FENCE.sub("", page.read_text(encoding="utf-8"))
        for text in CODE.findall(prose):
            if text.startswith(("cloister ", "make ", "python -m ")):
                yield text


def links() -> list[tuple[str, str]]:
    """Page and target of every link inside the repository."""
    found = []
    for page in pages():
        for target in (a or b for a, b in LINK.findall(page.read_text(encoding="utf-8"))):
            if "://" not in target and not target.startswith("mailto:"):
                found.append((str(page.relative_to(ROOT)), target))
    return found
