"""Prints what one part of Cloister needs of pyproject.toml, for images that hold one part alone.

    pip install $(python homes/requirements.py worker)

Uses the standard library only, since it runs before anything is installed.
"""

import re
import sys
import tomllib
from pathlib import Path

PROJECT = Path(__file__).parent.parent / "pyproject.toml"

SERVER = ("fastapi", "httptools", "httpx", "prometheus-client", "pydantic", "pydantic-settings")
PARTS = {
    "controller": (*SERVER, "uvicorn"),
    "worker": (
        *SERVER,
        "cryptography",
        "huggingface-hub",
        "jinja2",
        "llguidance",
        "numpy",
        "tokenizers",
        "torch",
        "uvicorn",
    ),
    "gpu": (
        "cryptography",
        "huggingface-hub",
        "numpy",
        "pydantic",
        "pydantic-settings",
        "torch",
    ),
    "webui": ("gradio", "httpx", "httptools", "pydantic", "pydantic-settings", "uvicorn"),
}
BUILD = ("pyyaml",)
"""What `python -m homes` needs besides a worker."""


def requirements(part: str, project: Path = PROJECT) -> list[str]:
    """The lines of pyproject.toml for a part, versions included. Raises `KeyError`."""
    content = tomllib.loads(project.read_text(encoding="utf-8"))["project"]
    extra = content["optional-dependencies"]["homes"]
    lines = {_name(line): line for line in [*content["dependencies"], *extra]}
    names = (*PARTS["worker"], *BUILD) if part == "homes" else PARTS[part]
    return [lines[name] for name in names]


def _name(line: str) -> str:
    return re.split(r"[<>=!~\[; ]", line, maxsplit=1)[0].lower()


if __name__ == "__main__":
    sys.stdout.write(" ".join(requirements(sys.argv[1])) + "\n")
