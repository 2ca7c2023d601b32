"""Compiles the kernels of the worker when Cloister is installed; all else is in pyproject.toml."""

import runpy
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

KERNELS = Path("worker/kernels")
compiling = runpy.run_path(str(KERNELS / "build.py"))


class BuildKernels(build_ext):
    """Makes a plain shared library of the one extension, or leaves it out with a warning."""

    def get_ext_filename(self, fullname: str) -> str:  # noqa: ARG002
        return str(KERNELS / compiling["LIBRARY"])

    def build_extension(self, ext: Extension) -> None:
        try:
            compiling["build"](Path(self.build_lib, self.get_ext_filename(ext.name)))
        except compiling["CannotCompile"] as problem:
            self.warn(f"the kernels are left out, the worker will be slow: {problem}")


sources = sorted(map(str, KERNELS.glob("src/*.cpp")))
headers = sorted(map(str, KERNELS.glob("src/*.h")))
setup(
    ext_modules=[Extension("worker.kernels.library", sources, depends=headers, optional=True)],
    cmdclass={"build_ext": BuildKernels},
)
