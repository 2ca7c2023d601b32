"""The files that a worker needs, and no others: a Python, trimmed packages, Cloister itself.

    image/python/   the interpreter and its standard library
    image/site/     packages, one folder on the module path

Both homes hash every file, and starting grows with their number, so modules are compiled and their
sources left out: compiled files name no path of the machine that built them, and are never written
again. What is left out is named here; that the rest is enough, the jail's tests show.
"""

import fnmatch
import importlib.util
import os
import py_compile
import shutil
import sys
import sysconfig
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from cloister.errors import CloisterError
from homes.libraries import needed

MOST_FILES = 5000
"""More than this many make the start of a home slow (docs/homes.md)."""

PACKAGES = (
    *("annotated-doc", "annotated-types", "anyio", "certifi", "cffi", "click", "cryptography"),
    *("fastapi", "h11"),
    *("httpcore", "httptools", "httpx", "idna", "jinja2", "llguidance", "markupsafe", "numpy"),
    *("opentelemetry-api", "prometheus-client", "pydantic", "pydantic-core", "pydantic-settings"),
    *("python-dotenv", "starlette", "tokenizers", "torch", "typing-extensions"),
    *("typing-inspection", "uvicorn"),
)
"""Distributions that the worker imports. torch and tokenizers ask for more than they then use."""

OURS = ("cloister", "worker")

UNNEEDED = (
    *("torch/bin/*", "torch/include/*", "torch/share/*", "torch/test/*", "torch/onnx/*"),
    *("torch/_inductor/*", "torch/_dynamo/*", "torch/distributed/pipelining/*"),
    *("torch/lib/libtorchbind_test.so", "torch/lib/libjitbackend_test.so"),
    *("torch/lib/libbackend_with_compiler.so", "torch/lib/libaoti_custom_ops.so"),
    *("torch/testing/_internal/*", "torch/utils/tensorboard/*", "torch/utils/benchmark/*"),
    *("functorch/*", "torchgen/packaged/*", "numpy/f2py/*", "numpy/*/tests/*", "numpy/tests/*"),
    *("worker/novice/corpus/*", "worker/novice/items/*"),
)
UNNEEDED_LIBRARY = (
    *("test/*", "idlelib/*", "tkinter/*", "turtledemo/*", "lib2to3/*", "ensurepip/*", "venv/*"),
    *("site-packages/*", "dist-packages/*", "config-*", "pydoc_data/*", "curses/*", "sqlite3/*"),
    *("distutils/*", "msilib/*", "lib-dynload/_test*", "lib-dynload/_tkinter*", "turtle.py"),
    *("lib-dynload/readline*", "lib-dynload/_sqlite3*", "lib-dynload/nis*", "lib-dynload/_curses*"),
    *("lib-dynload/_gdbm*", "lib-dynload/_dbm*", "lib-dynload/_crypt*", "lib-dynload/xx*"),
)
NEEDED = (
    *("torch/bin/torch_shm_manager", "torch/testing/_internal/__init__.py", "*.dist-info/METADATA"),
    *("torch/testing/_internal/logging_tensor.py", "torch/testing/_internal/common_dtype.py"),
)
"""Files that torch looks for when it is imported, though nothing here uses them."""

WITH_SOURCE = ("torch/*config.py", "torch/functional.py", "torch/nn/functional.py", "*/rnn.py")
"""Modules that read their own source when they are imported."""

KEPT = (".py", ".so", ".json", ".safetensors", ".pem", ".jinja")
"""Endings of the files that are taken. A library may have a version behind `.so`."""


class BadImage(CloisterError):
    """The image cannot be made, or is too large."""


@dataclass(frozen=True, slots=True)
class Size:
    """How large an image is."""

    files: int
    size_bytes: int

    def __str__(self) -> str:
        return f"{self.files:,} files, {self.size_bytes / 2**20:,.1f} MiB"


def build(out: Path, root: Path) -> Size:
    """Make the image in a new folder `out` from this interpreter and the checkout at `root`.

    Raises `BadImage` when a package is missing, or the image has more than `MOST_FILES` files.
    """
    if out.exists():
        raise BadImage(f"{out} is there already")
    _python(out / "python")
    for name in PACKAGES:
        _package(name, out / "site")
    for name in OURS:
        _tree(root / name, root, out / "site", UNNEEDED)
    for name, path in needed(out, out / "python" / "lib").items():
        _put(path, out / "python" / "lib" / name)
    return _checked(out)


def measure(out: Path) -> Size:
    """The size of an image."""
    files = [path for path in out.rglob("*") if path.is_file()]
    return Size(len(files), sum(path.stat().st_size for path in files))


def _checked(out: Path) -> Size:
    size = measure(out)
    if size.files > MOST_FILES:
        raise BadImage(f"the image has {size.files} files; at most {MOST_FILES} are allowed")
    return size


def _python(out: Path) -> None:
    """The interpreter, its own library if it has one, and the standard library."""
    program = Path(os.path.realpath(sys.executable))
    _put(program, out / "bin" / "python3")
    library = sysconfig.get_config_var("INSTSONAME")
    if library and ".so" in library:
        _put(Path(sysconfig.get_config_var("LIBDIR")) / library, out / "lib" / library)
    source = Path(sysconfig.get_path("stdlib"))
    _tree(source, source, out / "lib" / source.name, UNNEEDED_LIBRARY)


def _package(name: str, site: Path) -> None:
    """The files of one distribution, with the name and version that it is known by."""
    try:
        distribution = metadata.distribution(name)
    except metadata.PackageNotFoundError:
        raise BadImage(
            f"{name} is not installed; `make run` installs what a worker needs"
        ) from None
    for file in distribution.files or ():
        if ".." not in file.parts and _is_wanted(file.as_posix(), UNNEEDED):
            _take(Path(str(file.locate())), site, file.as_posix())


def _tree(folder: Path, base: Path, out: Path, unneeded: tuple[str, ...]) -> None:
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(base).as_posix()
        if path.is_file() and _is_wanted(name, unneeded):
            _take(path, out, name)


def _is_wanted(name: str, unneeded: tuple[str, ...]) -> bool:
    if _matches(name, NEEDED):
        return True
    return not _matches(name, unneeded) and (name.endswith(KEPT) or ".so." in name)


def _matches(name: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatch.fnmatch(name, pattern) for pattern in patterns)


def _take(source: Path, out: Path, name: str) -> None:
    """Take one file: a module compiled, and its source only where the module reads it."""
    target = out / name
    if source.suffix != ".py":
        _put(source, target)
    elif _matches(name, WITH_SOURCE):
        _put(source, target)
        _compile(source, Path(importlib.util.cache_from_source(str(target))))
    else:
        _compile(source, target.with_suffix(".pyc"))


def _compile(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
    name = source.name
    py_compile.compile(str(source), str(target), name, doraise=True, invalidation_mode=mode)


def _put(source: Path, target: Path) -> None:
    """A copy; the same bytes on the disk where that can be."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(os.path.realpath(source), target)
    except OSError:
        shutil.copyfile(source, target)
        shutil.copymode(source, target)
