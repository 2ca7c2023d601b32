"""One safetensors file: its header, reading a tensor straight into place, and writing one.

The format is an 8-byte little-endian header length, a JSON header and the tensors' bytes. Our own
reader, because the library's maps files into memory: enclaves emulate that by reading the whole
file, and a truncated one then ends the process instead of raising.
"""

import json
import struct
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from io import FileIO
from math import prod
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from cloister.errors import BadModel

DTYPES = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}
"""Stored types that can become weights."""

STORED = DTYPES | {"U8": torch.uint8}
"""All that is read and written: weights, and codes of low-bit ones."""

MAX_HEADER_BYTES = 100_000_000  # the format's own limit
CHUNK_BYTES = 1 << 24


@dataclass(frozen=True, slots=True)
class Stored:
    """A tensor in a file: its bytes are `begin` to `end` from the file's start."""

    path: Path
    name: str
    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int

    def rows(self, start: int, count: int) -> "Stored":
        """Some rows of it, as a tensor of its own."""
        each = (self.end - self.begin) // self.shape[0]
        begin = self.begin + start * each
        shape = (count, *self.shape[1:])
        return Stored(self.path, self.name, self.dtype, shape, begin, begin + count * each)


def read_header(path: Path) -> tuple[Stored, ...]:
    """List a shard's tensors in the order of the file. Raises `BadModel` when it is not whole."""
    try:
        with path.open("rb") as file:
            length_bytes = file.read(8)
            size_bytes = path.stat().st_size
            if len(length_bytes) < 8:
                raise BadModel(f"{path} is truncated: {size_bytes} bytes, no header")
            (length,) = struct.unpack("<Q", length_bytes)
            header = file.read(length) if length <= MAX_HEADER_BYTES else b""
    except OSError as error:
        raise BadModel(f"{path} cannot be read: {error.strerror}") from error
    if len(header) < length:
        raise BadModel(f"{path} is truncated: {size_bytes} bytes, a header of {length} expected")
    tensors = _parse(path, header, 8 + length)
    expected = max((stored.end for stored in tensors), default=8 + length)
    if size_bytes < expected:
        raise BadModel(f"{path} is truncated: {size_bytes} bytes, {expected} expected")
    return tensors


def _parse(path: Path, header: bytes, base: int) -> tuple[Stored, ...]:
    try:
        entries: dict[str, Any] = json.loads(header)
        entries.pop("__metadata__", None)
        tensors = [_stored(path, name, entry, base) for name, entry in entries.items()]
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise BadModel(f"{path} is not a safetensors file: its header cannot be read") from error
    return tuple(sorted(tensors, key=lambda stored: stored.begin))


def _stored(path: Path, name: str, entry: dict[str, Any], base: int) -> Stored:
    begin, end = (int(offset) for offset in entry["data_offsets"])
    stored = Stored(path, name, entry["dtype"], tuple(entry["shape"]), base + begin, base + end)
    dtype = STORED.get(stored.dtype)
    if not 0 <= begin <= end or (dtype and end - begin != prod(stored.shape) * dtype.itemsize):
        raise BadModel(f"{path}: {name} has {end - begin} bytes, not those of its shape")
    return stored


def read_into(file: FileIO, stored: Stored, place: Tensor) -> None:
    """Read a tensor into a contiguous `place` of its shape, converting on the way."""
    dtype = STORED[stored.dtype]
    file.seek(stored.begin)
    if dtype == place.dtype:
        _read_exactly(file, stored, place)
        return
    flat, step = place.view(-1), CHUNK_BYTES // dtype.itemsize
    for start in range(0, len(flat), step):
        chunk = flat[start : start + step]
        staging = torch.empty(chunk.shape, dtype=dtype)
        _read_exactly(file, stored, staging)
        chunk.copy_(staging)


def _read_exactly(file: FileIO, stored: Stored, place: Tensor) -> None:
    rest = place.view(-1).view(torch.uint8).numpy().data
    while rest:
        count = file.readinto(rest[: 1 << 30])
        if not count:
            raise BadModel(f"{stored.path} is truncated: {stored.name} is not whole")
        rest = rest[count:]


def write_shard(
    path: Path,
    shapes: Mapping[str, Tensor],
    tensors: Iterable[Tensor],
    advance: Callable[[int], None],
) -> None:
    """Write a file of `tensors` in turn; `advance` hears the bytes written.

    `shapes` tells all names, types and shapes beforehand, with tensors that may have no memory.
    """
    names = {dtype: name for name, dtype in STORED.items()}
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    offset = 0
    for name, tensor in shapes.items():
        end = offset + tensor.nbytes
        header[name] = {
            "dtype": names[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [offset, end],
        }
        offset = end
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with path.open("xb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for tensor in tensors:
            file.write(tensor.contiguous().view(-1).view(torch.uint8).numpy().data)
            advance(tensor.nbytes)
