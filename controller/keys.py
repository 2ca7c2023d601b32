"""API keys: who may ask, as which tenant, and how much. Only hashes are kept.

A key is 256 random bits, so one SHA-256 is enough: nobody guesses, so no slow hash is needed, and
how long a look-up by the hash takes tells nothing about the key.
"""

import hashlib
import re
import secrets
import sqlite3
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

from cloister.errors import BadRequest, NotFound, Unauthorized
from controller.store import Store

PREFIX = "ck-"
NAME = re.compile(r"[A-Za-z0-9_.@-]{1,64}")
LOOK_EVERY_S = 0.5
LARGEST_LIMIT = 10**12
LAST_SECOND = 253_402_300_799  # of the year 9999


class Kind(StrEnum):
    """An inference key opens the API, an admin key the routes under /admin, neither the other's."""

    INFERENCE = "inference"
    ADMIN = "admin"


State = Literal["active", "expired", "revoked"]


@dataclass(frozen=True, slots=True)
class Limits:
    """What one key may ask for. None is no limit."""

    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    parallel_requests: int | None = None


@dataclass(frozen=True, slots=True)
class Key:
    """All that is known of a key; times are Unix time in seconds.

    `tenant` is opaque, the same as long as the key is, and tells nothing of name or key.
    """

    name: str
    tenant: str
    digest: bytes = field(default=b"", repr=False)
    kind: Kind = Kind.INFERENCE
    limits: Limits = Limits()
    created_at: float = 0.0
    expires_at: float | None = None
    revoked_at: float | None = None

    def state(self, now: float) -> State:
        if self.revoked_at is not None:
            return "revoked"
        return "expired" if self.expires_at is not None and self.expires_at <= now else "active"


ANYONE = Key(name="", tenant="")
"""Everyone, while there are no keys; and whoever asks for a route that needs none."""


class KeyTable:
    """The keys in the file. Every change takes effect in running controllers, within a second."""

    def __init__(self, store: Store, now: Callable[[], float] = time.time) -> None:
        self._store = store
        self._now = now

    def create(
        self,
        name: str,
        *,
        kind: Kind = Kind.INFERENCE,
        limits: Limits | None = None,
        expires_at: float | None = None,
    ) -> str:
        """A new key; nothing keeps it. Raises `BadRequest`: the name is bad or taken."""
        if not NAME.fullmatch(name):
            reason = "a key's name is 1 to 64 letters, digits, or any of . _ @ -"
            raise BadRequest(reason, param="name")
        key, given = PREFIX + secrets.token_urlsafe(32), limits or Limits()
        values = (
            digest_of(key),
            name,
            kind.value,
            given.requests_per_minute,
            given.tokens_per_minute,
            given.parallel_requests,
            self._now(),
            expires_at,
        )
        try:
            self._change("INSERT INTO keys VALUES (?, ?, ?, ?, ?, ?, ?, ?, NULL)", values)
        except sqlite3.IntegrityError:
            taken = f"there is a key named {name} already; revoke it first"
            raise BadRequest(taken, param="name", code="key_exists") from None
        return key

    def revoke(self, name: str) -> None:
        """Let the key in no more; its usage stays. Raises `NotFound`: no such key."""
        self._change_living(name, "revoked_at = ?", (self._now(),))

    def limit(self, name: str, limits: Limits) -> None:
        """Replace the limits of a key. Raises `NotFound`: no such key."""
        columns = "requests_per_minute = ?, tokens_per_minute = ?, parallel_requests = ?"
        values = (limits.requests_per_minute, limits.tokens_per_minute, limits.parallel_requests)
        self._change_living(name, columns, values)

    def all(self) -> list[Key]:
        """Revoked and expired ones too, the oldest first."""
        rows = self._store.reader.execute("SELECT * FROM keys ORDER BY created_at, name")
        return [_key(row) for row in rows]

    def living(self, name: str) -> Key:
        """The key of this name that is not revoked. Raises `NotFound`: no such key."""
        for key in self.all():
            if key.name == name and key.revoked_at is None:
                return key
        raise _no_key(name)

    def changes(self) -> int:
        """A number that differs after any change."""
        (number,) = self._store.reader.execute("SELECT number FROM changes").fetchone()
        return int(number)

    def _change_living(self, name: str, columns: str, values: tuple[object, ...]) -> None:
        statement = f"UPDATE keys SET {columns} WHERE name = ? AND revoked_at IS NULL"
        if not self._change(statement, (*values, name)):
            raise _no_key(name)

    def _change(self, statement: str, values: tuple[object, ...]) -> int:
        with self._store.write() as connection:
            connection.execute("UPDATE changes SET number = number + 1")
            return connection.execute(statement, values).rowcount


class Keys:
    """The keys that let a request in, as the file has them now.

    With no inference key in it, not even a revoked one, everyone is let in as one tenant.
    """

    def __init__(
        self,
        table: KeyTable,
        now: Callable[[], float] = time.time,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._table = table
        self._now = now
        self._clock = clock
        self._looked_at = clock()
        self.read()

    @property
    def is_open(self) -> bool:
        return self._is_open

    def key(self, authorization: str | None, kind: Kind) -> Key:
        """Whose an `authorization` header is; `kind` is what the route asks for.

        Raises:
            Unauthorized: the key is missing, wrong, revoked or expired.
        """
        self._look()
        scheme, _, text = (authorization or "").partition(" ")
        found = self._keys.get(digest_of(text.strip())) if scheme.lower() == "bearer" else None
        if found is None:
            if self._is_open and kind is Kind.INFERENCE:
                return ANYONE
            raise Unauthorized(
                "the API key is missing or wrong; send `Authorization: Bearer KEY` or"
                " `x-api-key: KEY`"
            )
        if found.state(self._now()) == "expired":
            raise Unauthorized("the API key has expired", code="expired_api_key")
        return found

    def _look(self) -> None:
        if self._clock() - self._looked_at < LOOK_EVERY_S:
            return
        self._looked_at = self._clock()
        if self._table.changes() != self._number:
            self.read()

    def read(self) -> None:
        """Look into the file."""
        self._number = self._table.changes()
        everyone = self._table.all()
        self._is_open = all(key.kind is not Kind.INFERENCE for key in everyone)
        self._keys = {key.digest: key for key in everyone if key.revoked_at is None}


def digest_of(key: str) -> bytes:
    """What is kept of a key."""
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()


def tenant_of(digest: bytes) -> str:
    return hashlib.blake2b(digest, digest_size=16, person=b"cloister tenant").hexdigest()


def _key(row: sqlite3.Row) -> Key:
    limits = Limits(row["requests_per_minute"], row["tokens_per_minute"], row["parallel_requests"])
    return Key(
        name=row["name"],
        tenant=tenant_of(row["digest"]),
        digest=row["digest"],
        kind=Kind(row["kind"]),
        limits=limits,
        created_at=row["created_at"],
        expires_at=row["expires_at"],
        revoked_at=row["revoked_at"],
    )


def _no_key(name: str) -> NotFound:
    message = f"there is no key named {name[:64]}; the list of keys shows all"
    return NotFound(message, param="name", code="key_not_found")
