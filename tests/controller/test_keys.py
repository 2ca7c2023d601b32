"""API keys: what lets in, and what is told about what does not."""

import stat
from pathlib import Path

import pytest

from cloister.errors import BadRequest, BadSettings, NotFound, Unauthorized
from controller.keys import ANYONE, Key, Keys, KeyTable, Kind, Limits
from controller.store import Store
from tests.controller.conftest import new_store

NOW = 1_000_000.0


@pytest.fixture
def table() -> KeyTable:
    return KeyTable(new_store(), now=lambda: NOW)


def look(table: KeyTable, key: str, now: float = NOW) -> Key:
    return Keys(table, now=lambda: now).key(f"Bearer {key}", Kind.INFERENCE)


def test_made_key_lets_in_and_no_other(table: KeyTable) -> None:
    key = table.create("ann")
    other = KeyTable(new_store()).create("bob")
    assert look(table, key).name == "ann"
    keys = Keys(table)
    assert keys.key(f"bearer {key}", Kind.INFERENCE).name == "ann"
    for wrong in (None, "", "Bearer ", f"Bearer {other}", f"Basic {key}", key, "Bearer \udcff"):
        with pytest.raises(Unauthorized):
            keys.key(wrong, Kind.INFERENCE)


def test_without_keys_everyone_is_one_tenant(table: KeyTable) -> None:
    table.create("root", kind=Kind.ADMIN)
    keys = Keys(table)
    assert keys.is_open
    assert keys.key(None, Kind.INFERENCE) is keys.key("Bearer x", Kind.INFERENCE) is ANYONE


def test_door_stays_shut_when_the_last_key_is_revoked_or_expires(table: KeyTable) -> None:
    key = table.create("ann", expires_at=NOW + 10)
    assert look(table, key, NOW + 9).name == "ann"
    with pytest.raises(Unauthorized, match="expired"):
        look(table, key, NOW + 10)
    table.revoke("ann")
    for text in (key, ""):
        with pytest.raises(Unauthorized):
            look(table, text)


def test_changes_are_seen_while_running(table: KeyTable) -> None:
    time_s = 0.0
    keys = Keys(table, now=lambda: NOW, clock=lambda: time_s)
    key = table.create("ann", limits=Limits(requests_per_minute=3))
    header = f"Bearer {key}"
    time_s += 1
    assert keys.key(header, Kind.INFERENCE).limits.requests_per_minute == 3
    table.limit("ann", Limits(tokens_per_minute=9))
    time_s += 1
    assert keys.key(header, Kind.INFERENCE).limits == Limits(tokens_per_minute=9)
    table.revoke("ann")
    time_s += 1
    with pytest.raises(Unauthorized):
        keys.key(header, Kind.INFERENCE)


def test_tenant_is_stable_and_tells_nothing(table: KeyTable) -> None:
    ann, bob = table.create("ann"), table.create("bob")
    tenant = look(table, ann).tenant
    assert tenant == look(table, ann).tenant != look(table, bob).tenant
    assert "ann" not in tenant
    assert tenant not in look(table, ann).digest.hex()


def test_name_is_free_again_after_its_key_was_revoked(table: KeyTable) -> None:
    old = table.create("ann")
    with pytest.raises(BadRequest, match="ann already"):
        table.create("ann")
    table.revoke("ann")
    assert look(table, table.create("ann")).name == "ann"
    with pytest.raises(Unauthorized):
        look(table, old)


def test_faults_name_the_name(table: KeyTable) -> None:
    with pytest.raises(BadRequest, match="letters"):
        table.create("no spaces")
    for change in (table.revoke, table.living):
        with pytest.raises(NotFound, match="named zoe"):
            change("zoe")


def test_file_holds_no_key_and_is_its_owner_s_alone(tmp_path: Path) -> None:
    file = tmp_path / "accounts.sqlite"
    store = Store(file)
    key = KeyTable(store).create("ann")
    store.close()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert key[3:].encode() not in file.read_bytes()
    again = Store(file)
    assert look(KeyTable(again), key).name == "ann"
    again.close()


def test_bad_file_is_told_in_one_line(tmp_path: Path) -> None:
    for file in (tmp_path / "none" / "a.sqlite", tmp_path):
        with pytest.raises(BadSettings, match="accounts_file"):
            Store(file)
    odd = tmp_path / "odd"
    odd.write_text("this is no database, but long enough to be looked at by one " * 20)
    with pytest.raises(BadSettings, match="not a database"):
        Store(odd)


def test_file_of_a_later_version_is_refused(tmp_path: Path) -> None:
    store = Store(tmp_path / "a.sqlite")
    with store.write() as connection:
        connection.execute("PRAGMA user_version = 9")
    store.close()
    with pytest.raises(BadSettings, match="version 9"):
        Store(tmp_path / "a.sqlite")
