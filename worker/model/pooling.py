"""Is a model folder one of an embedding model, and one that pools as we do?

Folders made for sentence-transformers say so in modules.json: a transformer, a pooling, and perhaps
a normalisation. We pool by the last token and normalise, as Qwen3-Embedding does; another pooling
is refused.
"""

import json
from pathlib import Path
from typing import Any, Literal

from cloister.errors import BadModel
from worker.model.fields import Fields

Task = Literal["auto", "generate", "embed"]

MODULES = "modules.json"
KNOWN = ("Transformer", "Pooling", "Normalize")
LAST_TOKEN = "pooling_mode_lasttoken"


def embeds(folder: Path, task: Task) -> bool:
    """What `task` says or, with `auto`, what the folder says. Raises `BadModel`."""
    is_made_to = (folder / MODULES).is_file()
    if task == "generate" or (task == "auto" and not is_made_to):
        return False
    if is_made_to:
        _check_modules(folder)
        _check_prompt(folder)
    return True


def _check_modules(folder: Path) -> None:
    for module in _modules(folder / MODULES):
        kind, path = str(module.get("type")).rpartition(".")[2], str(module.get("path"))
        if kind not in KNOWN or ".." in Path(path).parts or Path(path).is_absolute():
            raise BadModel(
                f"{folder / MODULES} has a module that is not supported; "
                f"one of {', '.join(KNOWN)} is expected"
            )
        if kind == "Pooling":
            _check_pooling(Fields.read(folder / path / "config.json"))


def _modules(path: Path) -> list[dict[str, Any]]:
    try:
        modules = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BadModel(f"{path} cannot be read: {type(error).__name__}") from error
    if not isinstance(modules, list) or not all(isinstance(one, dict) for one in modules):
        raise BadModel(f"{path} must hold a list of objects")
    return modules


def _check_pooling(fields: Fields) -> None:
    modes = [name for name in fields.values if name.startswith("pooling_mode_")]
    on = [name for name in modes if fields.flag(name)]
    if on != [LAST_TOKEN]:
        raise BadModel(
            f"{fields.path} pools by {', '.join(on) or 'nothing'}; only {LAST_TOKEN} is supported"
        )


def _check_prompt(folder: Path) -> None:
    path = folder / "config_sentence_transformers.json"
    if path.is_file() and Fields.read(path).get("default_prompt_name") is not None:
        raise BadModel(f"{path} has a default_prompt_name, which is not supported")
