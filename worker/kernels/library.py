"""The compiled library: found, opened and told apart from one of another version."""

import ctypes
import logging
import threading
from pathlib import Path

from worker.kernels.build import LIBRARY

log = logging.getLogger(__name__)

VERSION = 6  # of the interface, as in src/interface.cpp
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


class Linear(ctypes.Structure):
    """`Linear` of src/format.h."""

    _fields_ = (
        ("matrix", Matrix),
        ("bias", ctypes.c_void_p),
        ("norm", ctypes.c_void_p),
        ("epsilon", ctypes.c_float),
        ("gated", ctypes.c_int32),
    )


class Rows(ctypes.Structure):
    """`Rows` of src/format.h."""

    _fields_ = (
        ("data", ctypes.c_void_p),
        ("stride", ctypes.c_int64),
        ("type", ctypes.c_int32),
    )


class Heads(ctypes.Structure):
    """`Heads` of src/attention.h."""

    _fields_ = (
        ("pages", ctypes.c_void_p),
        ("norms", ctypes.c_void_p),
        ("window", ctypes.c_int64),
        ("type", ctypes.c_int32),
        ("heads", ctypes.c_int32),
        ("kv_heads", ctypes.c_int32),
        ("head_dim", ctypes.c_int32),
        ("page_size", ctypes.c_int32),
        ("epsilon", ctypes.c_float),
    )


class Places(ctypes.Structure):
    """`Places` of src/attention.h."""

    _fields_ = (
        ("runs", ctypes.c_void_p),
        ("pages", ctypes.c_void_p),
        ("cosines", ctypes.c_void_p),
        ("sines", ctypes.c_void_p),
        ("run_count", ctypes.c_int64),
        ("rows", ctypes.c_int64),
    )


class Draw(ctypes.Structure):
    """`Draw` of src/format.h."""

    _fields_ = (
        ("logits", ctypes.c_void_p),
        ("stride", ctypes.c_int64),
        ("rows", ctypes.c_int64),
        ("size", ctypes.c_int64),
        ("rules", ctypes.c_void_p),
        ("masks", ctypes.POINTER(ctypes.c_char_p)),
        ("ids", ctypes.c_void_p),
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
        matrix, linear, rows = map(ctypes.POINTER, (Matrix, Linear, Rows))
        variant, address, count = ctypes.c_int32, ctypes.c_void_p, ctypes.c_int64
        self.multiply = self._function("multiply", variant, linear, rows, rows, count, address)
        self.look_up = self._function("look_up", matrix, address, count, rows)
        heads, places = map(ctypes.POINTER, (Heads, Places))
        self.attend = self._function("attend", variant, heads, places, address, address, variant)
        self.draw = self._function("draw", variant, ctypes.POINTER(Draw))
        self.space = self._function("space", variant, address)  # of masking.py
        self.hide = self._function("hide", variant, address)
        self.reveal = self._function("reveal", variant, address)

    def _function(self, name: str, *types: object) -> "ctypes._NamedFuncPointer":
        function = self._functions[f"cloister_{name}"]
        function.argtypes = types  # type: ignore[assignment]
        function.restype = None
        return function

    def variants(self) -> dict[str, int]:
        """Numbers of the variants that run right on this machine, by name, best first.

        Each has multiplied something small, compared with the portable one.
        """
        found: dict[str, int] = {}
        for index in range(self._functions.cloister_variants()):
            name = self._functions.cloister_name(index).decode()
            runs = self._functions.cloister_runs_here(index)
            if runs > 0:
                found[name] = index
            elif runs < 0:
                log.warning("kernels for %s are not used: they compute wrongly here", name)
        return found

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
