"""The controller's SQLite file: API keys as hashes, and counts of what they used. Never a text.

Two connections: one only reads and may be used in the event loop, where a read takes microseconds;
the other one writes, in a thread of its own. With a write-ahead log neither waits for the other,
nor for the `cloister keys` command in another process.
"""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from cloister.errors import BadSettings

VERSION = 1
BUSY_S = 10.0

SCHEMA = """
CREATE TABLE keys (
    digest BLOB PRIMARY KEY,
    name TEXT NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('inference', 'admin')),
    requests_per_minute INTEGER,
    tokens_per_minute INTEGER,
    parallel_requests INTEGER,
    created_at REAL NOT NULL,
    expires_at REAL,
    revoked_at REAL
) STRICT;
CREATE UNIQUE INDEX living_names ON keys (name) WHERE revoked_at IS NULL;
CREATE TABLE changes (number INTEGER NOT NULL) STRICT;
INSERT INTO changes VALUES (0);
CREATE TABLE usage (
    tenant TEXT NOT NULL,
    day TEXT NOT NULL,
    requests INTEGER NOT NULL,
    prompt_tokens INTEGER NOT NULL,
    cached_tokens INTEGER NOT NULL,
    generated_tokens INTEGER NOT NULL,
    PRIMARY KEY (tenant, day)
) STRICT;
CREATE TABLE runs (run TEXT PRIMARY KEY, counted INTEGER NOT NULL, heard_at REAL NOT NULL) STRICT;
CREATE TABLE estimates (
    request TEXT PRIMARY KEY,
    tenant TEXT NOT NULL,
    day TEXT NOT NULL,
    prompt_tokens INTEGER NOT NULL,
    generated_tokens INTEGER NOT NULL
) STRICT;
"""


class Store:
    """An open file. `reader` belongs to the thread that opened it."""

    def __init__(self, file: Path) -> None:
        """Open `file`, or make it, readable for its owner alone. Raises `BadSettings`."""
        self.file = file
        try:
            _touch(file)
            self._writer = _connect(file)
            _prepare(self._writer, file)
            self.reader = _connect(file)
        except (OSError, sqlite3.Error) as error:
            reason = error.strerror if isinstance(error, OSError) else str(error)
            raise BadSettings(f"accounts_file {file} cannot be used: {reason}") from None

    @contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """One transaction: on disk when left, undone if it fails. One thread at a time."""
        self._writer.execute("BEGIN IMMEDIATE")
        with self._writer as connection:
            yield connection

    def close(self) -> None:
        with closing(self.reader), closing(self._writer):
            pass


def _touch(file: Path) -> None:
    os.close(os.open(file, os.O_CREAT | os.O_RDWR, 0o600))


def _connect(file: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(
        file, timeout=BUSY_S, isolation_level=None, check_same_thread=False
    )
    connection.row_factory = sqlite3.Row
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    return connection


def _prepare(connection: sqlite3.Connection, file: Path) -> None:
    """Make the tables of a new file, under its lock, so that two programs do not both do it."""
    connection.execute("BEGIN IMMEDIATE")
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version == 0:
        for statement in SCHEMA.split(";"):
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {VERSION}")
    connection.execute("COMMIT")
    if version not in (0, VERSION):
        raise BadSettings(f"accounts_file {file} has version {version}; this program has {VERSION}")
