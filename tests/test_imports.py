"""Who may import whom, read from the sources: the rules of docs/structure.md."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ROOMS = ("cloister", "controller", "worker", "webui", "homes")

WORKER_ROOMS = {
    "api": ("api", "engine"),
    "engine": ("engine", "kernels.draw"),
    "model": ("model", "engine", "execution.seam", "kernels"),
    "execution": ("execution", "model", "engine.step", "kernels"),
    "gpu": ("gpu", "execution.split", "execution.local", "execution.seam", "model", "engine.step"),
    "kernels": ("kernels", "memory"),
    "commands": ("commands", "api", "build", "engine", "kernels", "model", "settings"),
    "novice": ("novice", "build", "engine.request", "settings"),
}
"""api -> engine <- model <- execution; of the executions the model knows the seam alone, and of the
kernels the engine knows what drawing a token means."""

WIRERS = ("worker/build.py", "worker/__main__.py")
"""The files that may name concrete classes from all rooms of the worker."""

WITHOUT_TORCH = (
    "cloister/",
    "controller/",
    "webui/",
    "homes/",
    "worker/api/",
    *(f"worker/engine/{name}.py" for name in ("request", "scheduler", "pages", "step")),
)


def sources(*folders: str) -> list[str]:
    found = [path for folder in folders for path in (ROOT / folder).rglob("*.py")]
    return sorted(str(path.relative_to(ROOT)) for path in found)


def imports(tree: ast.AST) -> Iterator[str]:
    """Full names of all that is imported, inside functions too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            dots = "." * node.level
            yield from (f"{dots}{node.module}.{alias.name}" for alias in node.names)


def reaches(name: str, module: str) -> bool:
    return name == module or name.startswith(module + ".")


def allowed(source: str, name: str) -> bool:
    """May the file at `source` import `name`?"""
    room = source.split("/")[0]
    if name.startswith(".") or reaches(name, "tests") or reaches(name, "benchmarks"):
        return False
    if reaches(name, "torch"):
        return not source.startswith(WITHOUT_TORCH)
    if reaches(name, "transformers"):
        return False
    if any(reaches(name, other) for other in ROOMS if other not in (room, "cloister")):
        return False
    return not reaches(name, "worker") or allowed_in_worker(source, name)


def allowed_in_worker(source: str, name: str) -> bool:
    place = source.split("/")[1]
    if source in WIRERS or name == "worker":
        return True
    if place not in WORKER_ROOMS:  # a file beside the rooms, such as worker/settings.py
        return not any(reaches(name, f"worker.{room}") for room in WORKER_ROOMS)
    return any(reaches(name, f"worker.{room}") for room in WORKER_ROOMS[place])


@pytest.mark.parametrize("source", sources(*ROOMS))
def test_file_imports_only_what_its_room_may(source: str) -> None:
    tree = ast.parse((ROOT / source).read_text(encoding="utf-8"))
    assert [name for name in imports(tree) if not allowed(source, name)] == []


@pytest.mark.parametrize(
    ("source", "line"),
    [
        ("webui/page.py", "import controller"),
        ("controller/relay.py", "from worker.engine.request import Request"),
        ("cloister/launcher.py", "from worker import settings"),
        ("cloister/client.py", "import torch"),
        ("worker/engine/pages.py", "def late():\n    from torch import nn"),
        ("worker/api/app.py", "from worker.model.decoder import Decoder"),
        ("worker/engine/engine.py", "from worker.api import app"),
        ("worker/engine/engine.py", "from worker.model.decoder import Decoder"),
        ("worker/model/decoder.py", "from worker.execution.local import Local"),
        ("worker/execution/local.py", "from worker.engine.scheduler import Scheduler"),
        ("worker/settings.py", "from worker.model.decoder import Decoder"),
        ("worker/model/tokenizer.py", "import transformers"),
        ("worker/model/decoder.py", "from .rope import Rope"),
    ],
)
def test_rules_see_what_they_forbid(source: str, line: str) -> None:
    assert [name for name in imports(ast.parse(line)) if not allowed(source, name)]


def test_rooms_without_torch_do_not_load_it_by_others() -> None:
    files = [source for source in sources(*ROOMS) if source.startswith(WITHOUT_TORCH)]
    modules = [
        file.removesuffix(".py").removesuffix("/__init__").replace("/", ".") for file in files
    ]
    program = "import sys\n" + "".join(
        f"import {module}\nassert 'torch' not in sys.modules, {module!r}\n" for module in modules
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
