"""From the model's name, as the user gives it, to a folder on this machine.

A name is `novice` (the model that ships with Cloister), a folder, or a Hugging Face Hub id. Only
weights, configs and tokenizer files are fetched from the Hub: never code, never pickles.
"""

import re
from collections.abc import Callable
from pathlib import Path

import worker
from cloister.errors import BadModel

BUNDLED = "novice"
WANTED_FILES = ("*.safetensors", "*.safetensors.index.json", "*.json", "*.jinja", "tokenizer.model")
HUB_ID = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*")

Fetch = Callable[[str], Path]
"""Brings a Hub id onto this machine; raises `OSError` or `ValueError` when it cannot."""


def fetch_from_hub(hub_id: str) -> Path:
    """Download a snapshot, or find it in the Hub's local cache."""
    from huggingface_hub import snapshot_download  # costs half a second; only Hub ids need it

    return Path(snapshot_download(hub_id, allow_patterns=list(WANTED_FILES)))


def find_model(name: str, fetch: Fetch = fetch_from_hub) -> Path:
    """The folder of a model. Raises `BadModel` telling what was tried."""
    if name == BUNDLED:
        return _bundled()
    path = Path(name).expanduser()
    if path.is_dir():
        return path
    if path.exists():
        raise BadModel(f"{path} is a file; a model is a folder with a config.json")
    if not HUB_ID.fullmatch(name):
        raise BadModel(
            f"no folder {path}; a model is {BUNDLED!r}, a folder, or a Hub id such as "
            "Qwen/Qwen2.5-0.5B-Instruct"
        )
    return _fetched(name, fetch)


def _bundled() -> Path:
    folder = Path(worker.__file__).parent / "novice" / "model"
    if not (folder / "config.json").is_file():
        raise BadModel(f"the bundled model {BUNDLED!r} is not installed: {folder} is missing")
    return folder


def _fetched(hub_id: str, fetch: Fetch) -> Path:
    try:
        return fetch(hub_id)
    except (OSError, ValueError) as error:
        raise BadModel(
            f"no folder {hub_id} here, and fetching {hub_id} from the Hugging Face Hub failed: "
            f"{type(error).__name__}: {_first_line(error)}"
        ) from error


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), "no reason given")
