"""Writing a model folder: shards get their final names when all of them are whole.

What `cloister convert` and `cloister quantize` share.
"""

import contextlib
import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from cloister.errors import BadModel
from worker.model.weights import INDEX

COPIED = ("*.json", "*.jinja", "*.model", "*.txt")
PARTIAL = ".partial"

Advance = Callable[[int, int], None]
"""Hears of progress: bytes done now, and bytes in all."""


def refuse_overwriting(target: Path) -> None:
    """Raise `BadModel` when there are weights already."""
    there = sorted(path.name for path in target.glob("*.safetensors*")) if target.is_dir() else []
    if there:
        raise BadModel(f"{target} has {there[0]} already, which is not overwritten")


def copy_others(source: Path, target: Path, *, without: str) -> None:
    """Copy what is no weights, but for one file, where it is not there yet."""
    if source.resolve() == target.resolve():
        return
    for pattern in COPIED:
        for path in source.glob(pattern):
            if path.name != without and not (target / path.name).exists():
                shutil.copyfile(path, target / path.name)


def publish(target: Path, held: Mapping[str, Mapping[str, int]]) -> tuple[Path, ...]:
    """Give the finished shards their names, the index last. `held`: bytes, by shard and tensor."""
    for name in held:
        (target / (name + PARTIAL)).rename(target / name)
    written = [target / name for name in held]
    if len(held) > 1:
        total = sum(size for sizes in held.values() for size in sizes.values())
        weight_map = {tensor: name for name, sizes in held.items() for tensor in sizes}
        index = {"metadata": {"total_size": total}, "weight_map": weight_map}
        (target / INDEX).write_text(json.dumps(index, indent=2), encoding="utf-8")
        written.append(target / INDEX)
    return tuple(written)


@contextlib.contextmanager
def progress(verb: str) -> Iterator[Advance]:
    """A bar on standard error."""
    columns = (TextColumn(verb), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(verb, total=None)
        yield lambda count, total: bar.update(task, advance=count, total=total)
