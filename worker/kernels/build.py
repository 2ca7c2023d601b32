"""Compiles the kernels: `pip install` does it, and `python worker/kernels/build.py` in a checkout.

A plain shared library with a C interface: no headers of Python or PyTorch, no C++ runtime, nothing
newer than glibc 2.28, so that one file serves every interpreter and every home. It is compiled for
each instruction set by itself, and chooses where it runs. Imports the standard library only.
"""

import os
import platform
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

HERE = Path(__file__).parent
SOURCES = HERE / "src"
LIBRARY = "libcloister_kernels.so"

COMMON = (
    *(
        "-std=c++17",
        "-O3",
        "-fPIC",
        "-fvisibility=hidden",
        "-Wall",
        "-Wextra",
        "-Werror=return-type",
    ),
    *("-fno-exceptions", "-fno-rtti", "-fno-math-errno", "-fno-trapping-math"),
    "-ffp-contract=off",  # a * b + c is two roundings everywhere: variants agree to the bit
)
PORTABLE = ("portable", "attend_portable", "masking_portable")
PLAIN = ("agree", "interface", "look_up", "pool", "masking", *PORTABLE)
AVX2 = ("-mavx2", "-mfma")
AVX512 = ("-mavx512f", "-mavx512bw", "-mavx512vl", "-mavx512dq", "-mavx512vnni")
AVX512_BF16 = (*AVX512, "-mavx512bf16")
AMX = (*AVX512, "-mamx-tile", "-mamx-int8")
X86: dict[str, Sequence[str]] = {
    **dict.fromkeys(("avx2", "attend_avx2", "masking_avx2"), AVX2),
    **dict.fromkeys(("avx512", "attend_avx512", "masking_avx512"), AVX512),
}
OPTIONAL: dict[str, tuple[Sequence[str], Sequence[str]]] = {
    "AVX512BF16": (("avx512bf16", "attend_avx512bf16"), AVX512_BF16),
    "AMX": (("amx",), AMX),
}
"""Sources and flags, oldest first: a compiler that knows the second knows the first."""

LINK = ("-shared", "-nodefaultlibs", "-Wl,-z,defs", "-Wl,-z,noexecstack")
LIBRARIES = ("-lc", "-lgcc")
SANITIZE = ("-g", "-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=undefined")


class CannotCompile(Exception):
    """There is no compiler, or it failed; the text is for people."""


def build(out: Path, *, sanitize: bool = False, tiles: Path | None = None) -> None:
    """Compile the library to `out`; `tiles`, a header, takes the place of AMX's instructions.

    Raises `CannotCompile`; then `out` is as it was.
    """
    extra = (*(SANITIZE if sanitize else ()), *([f'-DEMULATED_TILES="{tiles}"'] if tiles else []))
    with tempfile.TemporaryDirectory() as folder:
        with ThreadPoolExecutor(os.cpu_count()) as compilers:
            compiling = [
                compilers.submit(_compile, name, flags, extra, Path(folder))
                for name, flags in _parts().items()
            ]
        objects = [each.result() for each in compiling]
        made = Path(folder) / LIBRARY
        link = ("-shared", "-lpthread") if sanitize else (*LINK, *LIBRARIES)
        _run(*_compiler(), *extra, "-o", str(made), *objects, *link)
        out.parent.mkdir(parents=True, exist_ok=True)
        beside = out.with_suffix(".new")
        beside.write_bytes(made.read_bytes())
        beside.replace(out)  # a worker that runs keeps the file it has mapped


def _parts() -> dict[str, Sequence[str]]:
    """Names of sources, each with the flags of its own, as far as the compiler knows them."""
    parts: dict[str, Sequence[str]] = dict.fromkeys(PLAIN, ())
    if platform.machine() not in ("x86_64", "AMD64"):
        return parts
    parts |= X86
    for name, (sources, flags) in OPTIONAL.items():
        try:
            _run(*_compiler(), *flags, "-fsyntax-only", "-x", "c++", os.devnull)
        except CannotCompile:
            break
        parts |= dict.fromkeys(sources, flags)
        parts["interface"] = (*parts["interface"], f"-DHAS_{name}")
    return parts


def _compile(name: str, flags: Sequence[str], extra: Sequence[str], folder: Path) -> str:
    made = str(folder / f"{name}.o")
    _run(*_compiler(), *COMMON, *flags, *extra, "-c", str(SOURCES / f"{name}.cpp"), "-o", made)
    return made


def _compiler() -> list[str]:
    return shlex.split(os.environ.get("CXX", "g++"))


def _run(*words: str) -> None:
    try:
        done = subprocess.run(words, capture_output=True, text=True, check=False)
    except OSError as error:
        raise CannotCompile(f"no C++ compiler: {words[0]} cannot be run") from error
    if done.returncode:
        raise CannotCompile(f"{words[0]} failed:\n{done.stderr}")


if __name__ == "__main__":
    try:
        build(HERE / LIBRARY)
    except CannotCompile as problem:
        sys.exit(f"error: {problem}")
