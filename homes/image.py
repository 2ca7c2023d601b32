"""The files that a part of Cloister needs, and no others: a Python, trimmed packages, the part.

    image/python/   the interpreter and its standard library
    image/site/     packages, one folder on the module path

Both homes hash every file, and starting grows with their number, so modules are compiled and their
sources left out: compiled files name no path of the machine that built them, and are never written
again. Programs and libraries lose what only debuggers read. homes/parts.py names what goes in.
"""

import fnmatch
import importlib.util
import os
import py_compile
import shutil
import sys
import sysconfig
import tempfile
import warnings
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from cloister.errors import CloisterError
from homes.libraries import elf_files, needed, strip
from homes.parts import LIBRARY, Part

CUDA = ("torch/lib/libtorch_cuda*.so",)  # in PyTorch's usual package


class BadImage(CloisterError):
    """The image cannot be made, or is too large."""


@dataclass(frozen=True, slots=True)
class Size:
    """How large an image is."""

    files: int
    size_bytes: int

    def __str__(self) -> str:
        return f"{self.files:,} files, {self.size_bytes / 2**20:,.1f} MiB"


def build(part: Part, out: Path, root: Path) -> Size:
    """Make a part's image in a new folder `out`, from this interpreter and the checkout at `root`.

    A failure leaves no image, since the build scripts take one that is there for whole.
    Raises `BadImage` when a package is missing, PyTorch was built for CUDA, or the image has more
    files than it may; `CannotStrip`.
    """
    if out.exists():
        raise BadImage(f"{out} is there already")
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f"{out.name}-", dir=out.parent) as folder:
        made = Path(folder) / "image"
        _fill(part, made, root)
        size = _checked(made, part.most_files)
        made.rename(out)
    return size


def measure(out: Path) -> Size:
    """The size of an image."""
    files = [path for path in out.rglob("*") if path.is_file()]
    return Size(len(files), sum(path.stat().st_size for path in files))


def _fill(part: Part, out: Path, root: Path) -> None:
    for name in part.packages:
        _package(name, out / "site", part)
    _python(out / "python")
    for name in part.ours:
        _tree(root / name, root, out / "site", part)
    for name in part.compiled:
        if not (out / "site" / name).is_file():
            raise BadImage(f"{name} was not compiled; `pip install -e .` does it")
    for name, path in needed(out, out / "python" / "lib").items():
        _put(path, out / "python" / "lib" / name)
    for path in elf_files(out):
        if not path.parent.name.endswith(".libs"):  # wheels' tools moved their parts: strip errs
            strip(path)


def _checked(out: Path, most_files: int) -> Size:
    size = measure(out)
    if size.files > most_files:
        raise BadImage(f"the image has {size.files} files; at most {most_files} are allowed")
    return size


def _python(out: Path) -> None:
    """The interpreter, its own library if it has one, and the standard library."""
    program = Path(os.path.realpath(sys.executable))
    _put(program, out / "bin" / "python3")
    library = sysconfig.get_config_var("INSTSONAME")
    if library and ".so" in library:
        _put(Path(sysconfig.get_config_var("LIBDIR")) / library, out / "lib" / library)
    source = Path(sysconfig.get_path("stdlib"))
    _tree(source, source, out / "lib" / source.name, LIBRARY)


def _package(name: str, site: Path, part: Part) -> None:
    """The files of one distribution, with the name and version that it is known by."""
    try:
        distribution = metadata.distribution(name)
    except metadata.PackageNotFoundError:
        raise BadImage(
            f"{name} is not installed; `make run` installs what a worker needs"
        ) from None
    files = distribution.files or ()
    if any(_matches(file.as_posix(), CUDA) for file in files):
        raise BadImage(
            f"{name} {distribution.version} is built for CUDA: too large for an enclave, which has "
            "no use for it; install PyTorch's CPU build, as README.md says"
        )
    for file in files:
        if ".." not in file.parts and _is_wanted(file.as_posix(), part):
            _take(Path(str(file.locate())), site, file.as_posix(), part)


def _tree(folder: Path, base: Path, out: Path, part: Part) -> None:
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(base).as_posix()
        if path.is_file() and _is_wanted(name, part):
            _take(path, out, name, part)


def _is_wanted(name: str, part: Part) -> bool:
    if _matches(name, part.needed):
        return True
    return not _matches(name, part.unneeded) and (name.endswith(part.kept) or ".so." in name)


def _matches(name: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatch.fnmatch(name, pattern) for pattern in patterns)


def _take(source: Path, out: Path, name: str, part: Part) -> None:
    """Take one file: a module compiled, and its source only where the module reads it."""
    target = out / name
    if source.suffix != ".py":
        _put(source, target)
    elif _matches(name, part.with_source):
        _put(source, target)
        _compile(source, Path(importlib.util.cache_from_source(str(target))))
    else:
        _compile(source, target.with_suffix(".pyc"))


def _compile(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
    name = source.name
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of others' sources
        py_compile.compile(str(source), str(target), name, doraise=True, invalidation_mode=mode)


def _put(source: Path, target: Path) -> None:
    """A copy; the same bytes on the disk where that can be."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(os.path.realpath(source), target)
    except OSError:
        shutil.copyfile(source, target)
        shutil.copymode(source, target)
