"""The compiled library: found, opened and told apart from one of another version."""

import ctypes
import threading
from pathlib import Path

from worker.kernels.build import LIBRARY

VERSION = 2  # of the interface, as in src/interface.cpp
HERE = Path(__file__).parent / LIBRARY


class NoLibrary(Exception):
    """There is none, or not the right one; the text is for people."""


class Matrix(ctypes.Structure):
    """`Matrix` of src/format.h."""

    _fields_ = (
        ("panels", ctypes.c_void_p),
        ("inputs", ctypes.c_int64),
        ("outputs", ctypes.c_int64),
        ("bits", ctypes.c_int32),
        ("group", ctypes.c_int32),
    )


class Rows(ctypes.Structure):
    """`Rows` of src/format.h."""

    _fields_ = (
        ("data", ctypes.c_void_p),
        ("stride", ctypes.c_int64),
        ("type", ctypes.c_int32),
    )


class Product(ctypes.Structure):
    """`Product` of src/format.h."""

    _fields_ = (
        ("matrix", Matrix),
        ("input", Rows),
        ("output", Rows),
        ("bias", ctypes.c_void_p),
        ("rows", ctypes.c_int64),
        ("values", ctypes.c_void_p),
        ("scales", ctypes.c_void_p),
        ("starts", ctypes.c_void_p),
    )


class Library:
    """The functions of one library. Raises `NoLibrary`."""

    def __init__(self, path: Path = HERE) -> None:
        if not path.is_file():
            raise NoLibrary(
                f"{path.name} was not compiled; `python worker/kernels/build.py` does it"
            )
        try:
            self._functions = ctypes.CDLL(str(path))
            found = self._functions.cloister_version()
        except (OSError, AttributeError) as error:
            raise NoLibrary(f"{path.name} cannot be loaded: {error}") from error
        if found != VERSION:
            raise NoLibrary(f"{path.name} is of another version; compile it again")
        self._functions.cloister_name.restype = ctypes.c_char_p
        self.multiply = self._function("multiply", ctypes.c_int32, ctypes.POINTER(Product))
        matrix, rows = ctypes.POINTER(Matrix), ctypes.POINTER(Rows)
        self.look_up = self._function("look_up", matrix, ctypes.c_void_p, ctypes.c_int64, rows)
        self.space = self._function("space", ctypes.c_int32, ctypes.c_void_p)  # of masking.py
        self.hide = self._function("hide", ctypes.c_int32, ctypes.c_void_p)
        self.reveal = self._function("reveal", ctypes.c_int32, ctypes.c_void_p)

    def _function(self, name: str, *types: object) -> "ctypes._NamedFuncPointer":
        function = self._functions[f"cloister_{name}"]
        function.argtypes = types  # type: ignore[assignment]
        function.restype = None
        return function

    def variants(self) -> dict[str, int]:
        """Numbers of the variants that run on this machine, by name, best first."""
        functions = self._functions
        return {
            functions.cloister_name(index).decode(): index
            for index in range(functions.cloister_variants())
            if functions.cloister_runs_here(index)
        }

    def help_out(self, threads: int, spins: int) -> None:
        """Let so many threads help with every call from now on; idle, each looks `spins` times
        for a next one and then parks."""
        self._functions.cloister_spin(spins)
        for index in range(threads):
            name = f"kernels-{index}"
            threading.Thread(target=self._functions.cloister_help, name=name, daemon=True).start()

    def dismiss(self, threads: int) -> None:
        """Let so many helpers end."""
        self._functions.cloister_dismiss(threads)
