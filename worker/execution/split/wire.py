"""The frames between a worker and a GPU server: a fixed header, then one raw payload.

Nothing in a frame names a type or a length that is believed: who reads a header checks it against
what may come, then reads exactly that many bytes. All numbers are little-endian.

    server -> worker  CHALLENGE  32 random bytes
    worker -> server  HELLO      digest of the weights, proof of the token; `kind` of the weights
    server -> worker  WELCOME    most rows of a call, most calls in flight
    worker -> server  MULTIPLY   rows of one site, or the seed that they are drawn from
    server -> worker  PRODUCT    their products, with the call's sequence number
    server -> worker  ERROR      `status` says why; no text, no payload
"""

import hashlib
import hmac
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from types import MappingProxyType

import torch

from worker.execution.split.sites import NAMES, SiteId

PROTOCOL = 1
MAGIC = b"CLSP"
HEADER = struct.Struct("<4sBBHQHBBIIQ4x")
LIMITS = struct.Struct("<II")
NONCE_BYTES = 32
HELLO_BYTES = 64
HELLO_S = 5.0  # for each step of the handshake, on either side
SEED_BYTES = 32
PURPOSE = b"cloister gpu hello 1"


FIRST_SITE = SiteId(0, NAMES[0])  # in frames that are about no site


class Op(IntEnum):
    CHALLENGE = 1
    HELLO = 2
    WELCOME = 3
    MULTIPLY = 4
    PRODUCT = 5
    ERROR = 6


class Status(IntEnum):
    """Why a server refuses."""

    FINE = 0
    MALFORMED = 1
    WRONG_TOKEN = 2
    OTHER_WEIGHTS = 3
    UNKNOWN_SITE = 4
    WRONG_SHAPE = 5
    FAILED = 6
    FULL = 7
    OTHER_PURPOSE = 8


class Kind(IntEnum):
    """What a payload holds. int32 rows meet int8 weights, floats weights of their kind.

    `SEED` stands for int32 rows that both sides draw from 32 bytes: how masks are made elsewhere.
    A server takes either seeds or rows: no server is both helper and GPU.
    """

    INT32 = 1
    BFLOAT16 = 2
    FLOAT32 = 3
    SEED = 4


DTYPES: Mapping[Kind, torch.dtype] = MappingProxyType(
    {Kind.INT32: torch.int32, Kind.BFLOAT16: torch.bfloat16, Kind.FLOAT32: torch.float32}
)
KINDS: Mapping[torch.dtype, Kind] = MappingProxyType(
    {dtype: kind for kind, dtype in DTYPES.items()}
)


class BadFrame(Exception):
    """The other side breaks the protocol. Holds no bytes of the frame."""


class Refused(Exception):
    """The server answered with an error."""

    def __init__(self, status: Status) -> None:
        super().__init__(status.name.lower().replace("_", " "))
        self.status = status


@dataclass(frozen=True, slots=True)
class Header:
    """What stands before a payload. `columns` and `rows` are the payload's own."""

    op: Op
    sequence: int = 0
    site: SiteId = FIRST_SITE
    kind: Kind = Kind.INT32
    rows: int = 0
    columns: int = 0
    size_bytes: int = 0
    status: Status = Status.FINE

    def pack(self) -> bytes:
        return HEADER.pack(
            MAGIC,
            PROTOCOL,
            self.op,
            self.status,
            self.sequence,
            self.site.layer,
            NAMES.index(self.site.name),
            self.kind,
            self.rows,
            self.columns,
            self.size_bytes,
        )

    @classmethod
    def unpack(cls, raw: bytes | bytearray) -> "Header":
        """Raises `BadFrame` for what no side of this version would write."""
        magic, protocol, op, status, *rest = HEADER.unpack(raw)
        sequence, layer, name, kind, rows, columns, size_bytes = rest
        if magic != MAGIC:
            raise BadFrame("this is not Cloister's protocol")
        if protocol != PROTOCOL:
            raise BadFrame(f"protocol {protocol} is spoken, {PROTOCOL} is expected")
        if name >= len(NAMES):
            raise BadFrame("unknown site name")
        try:
            site = SiteId(layer, NAMES[name])
            sizes = rows, columns, size_bytes
            return cls(Op(op), sequence, site, Kind(kind), *sizes, Status(status))
        except ValueError:
            raise BadFrame("unknown operation, status or kind") from None

    def payload(self, columns: int, most_rows: int) -> int:
        """The payload's size, if it is what so many columns make. Raises `BadFrame`."""
        size_bytes = SEED_BYTES
        if self.kind is not Kind.SEED:
            size_bytes = self.rows * columns * DTYPES[self.kind].itemsize
        if not 0 < self.rows <= most_rows:
            raise BadFrame(f"{self.rows} rows, at most {most_rows} are taken")
        if self.columns != columns or self.size_bytes != size_bytes:
            raise BadFrame("columns or length are not the site's")
        return size_bytes


def prove(token: bytes, nonce: bytes, digest: bytes) -> bytes:
    """Shows that the token is known, without showing it: 32 bytes."""
    return hmac.digest(token, PURPOSE + nonce + digest, hashlib.sha256)
