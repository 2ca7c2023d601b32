"""Flags of a command that also takes some of the worker's settings.

The worker's own class says what a setting is; a command only names which ones it takes. Those that
are not given come from the settings file and the environment, as they do for the worker itself.
"""

import argparse
from collections.abc import Sequence

from cloister.settings import flag
from worker.settings import WorkerSettings

MEMORY = (
    "model",
    "dtype",
    "weights",
    "cache_mb",
    "kv_cache_dtype",
    "cache_pages",
    "page_size",
    "step_tokens",
    "sequences",
)
"""The settings that decide how much memory a worker needs."""


class Options:
    """A parser with flags of its own and some of the worker's."""

    def __init__(self, command: str, description: str, settings: Sequence[str]) -> None:
        self.parser = argparse.ArgumentParser(
            prog=f"cloister {command}", description=description, allow_abbrev=False
        )
        self._settings = settings
        self.parser.add_argument("--config", metavar="FILE", help="settings file of the worker")
        for name in settings:
            field = WorkerSettings.model_fields[name]
            told = f"{field.description} (worker's setting; default: {field.default})"
            metavar = name.upper()
            self.parser.add_argument(flag(name), metavar=metavar, help=told.replace("%", "%%"))

    def parse(self, argv: Sequence[str]) -> tuple[argparse.Namespace, WorkerSettings]:
        """The command's own values, and the worker's settings. Raises `BadSettings`."""
        words = self.parser.parse_args(argv)
        given = {name: getattr(words, name) for name in ("config", *self._settings)}
        flags = [(flag(name), value) for name, value in given.items() if value is not None]
        return words, WorkerSettings.load([word for pair in flags for word in pair])


def positive(text: str) -> int:
    """An integer of at least 1, for argparse."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{value} is below 1")
    return value


def gibibytes(text: str) -> int:
    """Bytes of a number of GiB such as 16 or 0.5, for argparse."""
    value = float(text)
    if not 0 < value < 2**20:
        raise argparse.ArgumentTypeError(f"{text} GiB is no memory size")
    return int(value * 2**30)
