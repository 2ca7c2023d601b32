"""Occlum's list of files (bom): read strictly, and laid out as its copy_bom does.

copy_bom ignores names that it does not know. Relative paths begin at the folder that holds the
image; `dirs` are copied below the target, their content alone if the name ends in `/`.
"""

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from homes.table import Table

BUILT_IN = {
    "base.yaml": {
        "targets": [
            {
                "target": "/",
                "mkdirs": [
                    *("bin", "dev", "etc", "host", "lib", "lib64", "opt", "proc", "root"),
                    *("sys", "tmp", "sbin", "ext2"),
                ],
            }
        ]
    }
}
"""Lists that ship with Occlum and may be included."""

OCCLUM_S_OWN = ("/opt/occlum/", "/lib64/ld-linux-x86-64.so.2")

SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(slots=True)
class Layout:
    """What an image will hold, by path inside it; `files` say where each comes from."""

    folders: set[str] = field(default_factory=set)
    links: dict[str, str] = field(default_factory=dict)
    files: dict[str, Path] = field(default_factory=dict)


def read(path: Path) -> Any:
    """The content of a bom file. Raises `ValueError` when it is not YAML, `OSError`."""
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise ValueError(f"{path} is not YAML: {error}") from None


def check(bom: Any, base: Path) -> list[str]:
    """All faults, files that are not there included. `base` is where relative paths begin."""
    faults: list[str] = []
    top = Table(bom, "", faults)
    for name in top.items("includes", default=()):
        if name not in BUILT_IN:
            top.fault("includes", f"{name!r} is unknown; known is {', '.join(BUILT_IN)}")
    top.items("excludes", default=())
    for target in top.tables("targets"):
        _check_target(target, base)
    top.close()
    return faults


def _check_target(target: Table, base: Path) -> None:
    path = target.text("target")
    if not path.startswith("/") or ".." in Path(path).parts:
        target.fault("target", f"{path!r} must be an absolute path inside the image")
    target.items("mkdirs", default=())
    if target.has("createlinks"):
        for link in target.tables("createlinks"):
            link.text("src")
            link.text("linkname")
            link.close()
    if target.has("copy"):
        for copy in target.tables("copy"):
            _check_copy(copy, base)
    target.close()


def _check_copy(copy: Table, base: Path) -> None:
    base = base / _expand(copy.text("from", default=""))
    for name in copy.items("dirs", default=()):
        if not (base / _expand(name)).is_dir():
            copy.fault("dirs", f"{name} is no folder")
    for entry in copy.items("files", default=()):
        _check_file(copy, entry, base)
    copy.close()


def _check_file(copy: Table, entry: Any, base: Path) -> None:
    name = entry if isinstance(entry, str) else None
    if isinstance(entry, dict):
        table = Table(entry, f"{copy.place}.files", copy.faults)
        name = table.text("name")
        digest = table.text("hash", default="")
        if digest and not SHA256.fullmatch(digest):
            table.fault("hash", "must be a SHA-256 in hexadecimal digits")
        table.flag("autodep", default=True)
        table.text("rename", default="")
        table.close()
    if name is None or not (base / _expand(name)).is_file():
        copy.fault("files", f"{name or entry} is no file")


def lay_out(bom: Mapping[str, Any], base: Path) -> Layout:
    """What the image of a checked bom holds."""
    layout = Layout()
    included = (BUILT_IN[name] for name in bom.get("includes", ()))
    for one in (*included, bom):
        for target in one.get("targets", ()):
            _add(layout, target, base)
    return layout


def strangers(layout: Layout, image: Path) -> list[Path]:
    """Files in an image that were not listed, and are not of the C library that Occlum brings.

    copy_bom adds the libraries that programs load as it finds them on this machine, though ours
    bring their own.
    """
    return [
        path
        for path in sorted(image.rglob("*"))
        if (path.is_file() or path.is_symlink())
        and not (inside := f"/{path.relative_to(image).as_posix()}").startswith(OCCLUM_S_OWN)
        and inside not in layout.files
        and inside not in layout.links
    ]


def _add(layout: Layout, target: Mapping[str, Any], base: Path) -> None:
    root = target["target"].rstrip("/")
    layout.folders.update([root or "/", *(f"{root}/{name}" for name in target.get("mkdirs", ()))])
    for link in target.get("createlinks", ()):
        layout.links[f"{root}/{link['linkname']}"] = link["src"]
    for copy in target.get("copy", ()):
        start = base / _expand(copy.get("from", ""))
        for name in copy.get("dirs", ()):
            folder = start / _expand(name)
            below = root if name.endswith("/") else f"{root}/{folder.resolve().name}"
            layout.files.update(_below(folder, below))
        for entry in copy.get("files", ()):
            name = entry if isinstance(entry, str) else entry["name"]
            renamed = entry.get("rename") if isinstance(entry, dict) else None
            source = start / _expand(name)
            layout.files[f"{root}/{renamed or source.name}"] = source


def _below(folder: Path, root: str) -> Iterator[tuple[str, Path]]:
    for path in folder.rglob("*"):
        if path.is_file():
            yield f"{root}/{path.relative_to(folder).as_posix()}", path


def _expand(name: str) -> str:
    return os.path.expandvars(name)
