"""`cloister keys`: what it does to the file, and what it says."""

import time
from pathlib import Path

import pytest

from cloister.fleet import UsageRecord, UsageReport
from controller.keys import Key, Keys, KeyTable, Kind, Limits
from controller.keys_command import main
from controller.ledger import Ledger
from controller.store import Store


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "accounts.sqlite"


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no settings file lies."""
    monkeypatch.chdir(tmp_path)


def run(file: Path, *words: str) -> int:
    return main(["--accounts-file", str(file), *words])


def living(file: Path, name: str) -> Key:
    store = Store(file)
    key = KeyTable(store).living(name)
    store.close()
    return key


def test_key_is_shown_once_and_lets_in(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("--requests-per-minute", "60", "--tokens-per-minute", "9000", "--parallel", "2")
    assert run(file, "create", "ann", *words) == 0
    said = capsys.readouterr()
    key = said.out.strip()
    assert key not in said.err
    store = Store(file)
    found = Keys(KeyTable(store)).key(f"Bearer {key}", Kind.INFERENCE)
    store.close()
    assert (found.name, found.limits) == ("ann", Limits(60, 9000, 2))
    for command in ("list", "usage"):
        assert run(file, command) == 0
        said = capsys.readouterr()
        assert "ann" in said.out
        assert key not in said.out + said.err


def test_limits_change_what_is_named_and_nothing_else(file: Path) -> None:
    run(file, "create", "ann", "--requests-per-minute", "60", "--parallel", "2")
    assert run(file, "limits", "ann", "--tokens-per-minute", "5", "--parallel", "none") == 0
    assert living(file, "ann").limits == Limits(60, 5, None)


@pytest.mark.parametrize(
    ("text", "days"), [("12h", 0.5), ("30d", 30), ("2w", 14), ("2999-12-31", 300_000)]
)
def test_expiry_is_a_span_or_a_day(file: Path, text: str, days: float) -> None:
    run(file, "create", "ann", "--expires", text)
    expires_at = living(file, "ann").expires_at
    assert expires_at is not None
    assert expires_at - time.time() == pytest.approx(days * 86_400, rel=0.3)


def test_list_tells_kinds_and_states(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(file, "create", "root", "--admin")
    run(file, "create", "ann", "--expires", "2001-01-01")
    run(file, "create", "bob")
    run(file, "revoke", "bob")
    run(file, "list")
    rows = capsys.readouterr().out.splitlines()
    for words in (("root", "admin", "active"), ("ann", "expired"), ("bob", "revoked")):
        assert any(all(word in row for word in words) for row in rows), words


def test_usage_is_told_by_name_and_day(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(file, "create", "ann")
    tenant = living(file, "ann").tenant
    store = Store(file)
    record = UsageRecord(
        number=1,
        request="r",
        tenant=tenant,
        prompt_tokens=1234,
        cached_tokens=9,
        generated_tokens=777,
    )
    Ledger(store).count(UsageReport(run="run", records=(record,)))
    store.close()
    capsys.readouterr()
    assert run(file, "usage") == 0
    row = next(row for row in capsys.readouterr().out.splitlines() if "ann" in row)
    assert "1234" in row
    assert "777" in row
    run(file, "usage", "--until", "2001-01-01")
    assert "1234" not in capsys.readouterr().out


@pytest.mark.parametrize(
    "words",
    [
        ("create", "no spaces"),
        ("revoke", "zoe"),
        ("limits", "zoe", "--parallel", "1"),
    ],
)
def test_fault_is_one_line_and_status_2(
    file: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...]
) -> None:
    assert run(file, *words) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("create",),
        ("create", "ann", "--parallel", "0"),
        ("create", "ann", "--expires", "soon"),
        ("usage", "--since", "yesterday"),
    ],
)
def test_wrong_words_are_told_with_status_2(file: Path, words: tuple[str, ...]) -> None:
    with pytest.raises(SystemExit) as caught:
        run(file, *words)
    assert caught.value.code == 2
