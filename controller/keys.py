"""API keys: who may ask, and as which tenant. Only hashes are kept.

A key is 256 random bits, so one SHA-256 is enough: nobody guesses, so no slow hash is needed.
"""

import hashlib
import hmac
import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from cloister.errors import BadSettings, Unauthorized

PREFIX = "ck-"
LINE = re.compile(r"(?P<name>[A-Za-z0-9_.@-]{1,64}):(?P<digest>[0-9a-f]{64})")
OPEN_TENANT = ""


@dataclass(frozen=True, slots=True)
class Key:
    """A key's name and SHA-256."""

    name: str
    digest: bytes = field(repr=False)

    @property
    def tenant(self) -> str:
        """Opaque, the same as long as the key is; it tells nothing of name or key."""
        return hashlib.blake2b(self.digest, digest_size=16, person=b"cloister tenant").hexdigest()


class Keys:
    """The keys that let a request in. With none of them everyone is let in, as one tenant."""

    def __init__(self, keys: Iterable[Key] = ()) -> None:
        self._tenants = [(key.digest, key.tenant) for key in keys]

    @classmethod
    def load(cls, lines: Iterable[str], file: Path | None = None) -> Self:
        """Read `name:hash` lines, and those in `file`, where blank lines and `#` are left out.

        Raises:
            BadSettings: a line or the file cannot be read, a name comes twice, the file is empty.
        """
        keys = [_key(line, f"api_keys, entry {n}") for n, line in enumerate(lines, start=1)]
        if file is not None:
            keys += _from_file(file)
        names = [key.name for key in keys]
        for name in names:
            if names.count(name) > 1:
                raise BadSettings(f"api_keys: the name {name} is given twice")
        return cls(keys)

    def tenant(self, authorization: str | None) -> str:
        """The tenant of a request's `authorization` header.

        Looks at all keys in constant time each. Raises `Unauthorized`.
        """
        if not self._tenants:
            return OPEN_TENANT
        scheme, _, key = (authorization or "").partition(" ")
        digest = hashlib.sha256(key.strip().encode("utf-8", "surrogateescape")).digest()
        found = [tenant for known, tenant in self._tenants if hmac.compare_digest(known, digest)]
        if scheme.lower() != "bearer" or not found:
            raise Unauthorized(
                "the API key is missing or wrong; send `Authorization: Bearer KEY` or"
                " `x-api-key: KEY`"
            )
        return found[0]


def make(name: str) -> tuple[str, str]:
    """A new key, and the `name:hash` line that lets it in. Raises `BadSettings`."""
    key = PREFIX + secrets.token_urlsafe(32)
    line = f"{name}:{hashlib.sha256(key.encode()).hexdigest()}"
    if not LINE.fullmatch(line):
        raise BadSettings("a key's name is 1 to 64 letters, digits, or any of . _ @ -")
    return key, line


def _from_file(file: Path) -> list[Key]:
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise BadSettings(f"api_keys_file {file} cannot be read: {type(error).__name__}") from None
    keys = [
        _key(line.strip(), f"{file}, line {number}")
        for number, line in enumerate(lines, start=1)
        if line.strip() and not line.lstrip().startswith("#")
    ]
    if not keys:
        raise BadSettings(f"api_keys_file {file} holds no key, which would let everyone in")
    return keys


def _key(line: str, place: str) -> Key:
    """The line itself stays out of errors: someone may have put a key there."""
    parts = LINE.fullmatch(line)
    if parts is None:
        raise BadSettings(f"{place} is not name:hash; `cloister controller key NAME` makes one")
    return Key(parts["name"], bytes.fromhex(parts["digest"]))
