"""Random residues for masks: a stream that never gives the same place twice.

AES-256 in counter mode under a key that is drawn from the kernel for each stretch of 1 GiB and
never leaves this object: a standard cipher in hardware (gigabytes a second a core), far below the
2^64 blocks at which counter mode can be told from random. Nothing is saved, so no restart or
retry can go back to a place; a forked child, which would share the place, gets nothing.
"""

import os
import threading

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher, CipherContext, algorithms, modes

Words = np.ndarray[tuple[int, ...], np.dtype[np.uint32]]

STRETCH_BYTES = 2**30
STEP_BYTES = 2**20
ZEROS = bytes(STEP_BYTES)
BLOCK_BYTES = 16


class MaskStream:
    """Uniform 32-bit words; safe to draw from in several threads."""

    def __init__(self, stretch_bytes: int = STRETCH_BYTES) -> None:
        self._lock = threading.Lock()
        self._process = os.getpid()
        self._stretch_bytes = stretch_bytes
        self._cipher: CipherContext = _cipher(os.urandom(32))
        self._left_bytes = stretch_bytes

    def words(self, rows: int, columns: int) -> Words:
        """uint32 [rows, columns], each word of the stream given once."""
        drawn = np.empty((rows, columns), dtype=np.uint32)
        place = drawn.data.cast("B")
        with self._lock:
            if os.getpid() != self._process:
                raise RuntimeError("a forked process would use its parent's masks again")
            for start in range(0, len(place), STEP_BYTES):
                self._fill(place[start : start + STEP_BYTES])
        return drawn

    def _fill(self, place: memoryview) -> None:
        if self._left_bytes < len(place):
            self._cipher, self._left_bytes = _cipher(os.urandom(32)), self._stretch_bytes
        _fill(self._cipher, place)
        self._left_bytes -= len(place)


def expand(seed: bytes, rows: int, columns: int) -> Words:
    """uint32 [rows, columns]: the words that a seed of 32 bytes stands for, on every machine.

    A seed is for one use, so the counter may start at 0.
    """
    drawn = np.empty((rows, columns), dtype="<u4")
    place, cipher = drawn.data.cast("B"), _cipher(seed)
    for start in range(0, len(place), STEP_BYTES):
        _fill(cipher, place[start : start + STEP_BYTES])
    return drawn


def _fill(cipher: CipherContext, place: memoryview) -> None:
    filled = bytearray(len(place) + BLOCK_BYTES - 1)  # what the library asks for
    count = cipher.update_into(memoryview(ZEROS)[: len(place)], filled)
    assert count == len(place)
    place[:] = memoryview(filled)[:count]


def _cipher(key: bytes) -> CipherContext:
    """A key is fresh, so the counter may start at 0."""
    return Cipher(algorithms.AES(key), modes.CTR(bytes(BLOCK_BYTES))).encryptor()
