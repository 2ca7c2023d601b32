"""The list of files: read strictly, laid out as copy_bom would."""

from pathlib import Path
from typing import Any

import pytest

from homes import bom, keys

ROOT = Path(__file__).parent.parent.parent


def target(**members: Any) -> dict[str, Any]:
    return {"targets": [{"target": "/opt", **members}]}


@pytest.fixture
def base(tmp_path: Path) -> Path:
    (tmp_path / "python/lib").mkdir(parents=True)
    (tmp_path / "python/lib/a.txt").write_text("a")
    (tmp_path / "settings").write_text("s")
    return tmp_path


def test_shipped_bom_has_no_fault(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (base / "site").mkdir()
    monkeypatch.setenv("IMAGE", str(base))
    monkeypatch.setenv("SETTINGS", str(base / "settings"))
    shipped = bom.read(ROOT / "occlum/image.yaml")
    assert bom.check(shipped, base) == []
    layout = bom.lay_out(shipped, base)
    assert layout.files == {
        "/opt/python/lib/a.txt": base / "python/lib/a.txt",
        "/etc/cloister.toml": base / "settings",
    }
    assert layout.links == {"/bin/python3": "/opt/python/bin/python3"}
    assert {"/tmp", "/bin", "/lib64"} <= layout.folders


@pytest.mark.parametrize(
    ("members", "fault"),
    [
        ({"copys": []}, "unknown; did you mean copy?"),
        ({"copy": [{"dirs": ["absent"]}]}, "absent is no folder"),
        ({"copy": [{"files": ["absent"]}]}, "absent is no file"),
        ({"copy": [{"files": [{"rename": "b"}]}]}, "name: is missing"),
        ({"copy": [{"files": [{"name": "settings", "hash": "12"}]}]}, "must be a SHA-256"),
        ({"copy": [{"files": [{"name": "settings", "autodeps": True}]}]}, "unknown"),
        ({"createlinks": [{"src": "/a"}]}, "linkname: is missing"),
        ({"target": "opt"}, "absolute path"),
        ({"target": "/opt/../.."}, "absolute path"),
    ],
)
def test_fault_is_named(members: dict[str, Any], fault: str, base: Path) -> None:
    faults = bom.check(target(**members), base)
    assert any(fault in one for one in faults), faults


def test_unknown_list_and_missing_target_are_named(base: Path) -> None:
    assert "includes" in bom.check({"includes": ["mine.yaml"], "targets": []}, base)[0]
    assert "target: is missing" in bom.check({"targets": [{}]}, base)[0]


def test_content_of_a_folder_is_copied_without_it(base: Path) -> None:
    made = target(copy=[{"dirs": ["python/"]}, {"from": "python", "files": ["lib/a.txt"]}])
    assert set(bom.lay_out(made, base).files) == {"/opt/lib/a.txt", "/opt/a.txt"}


def test_files_that_nobody_listed_are_found(base: Path, tmp_path: Path) -> None:
    layout = bom.lay_out(target(copy=[{"dirs": ["python"]}]), base)
    folder = tmp_path / "image"
    for name in ("opt/python/lib/a.txt", "opt/occlum/glibc/lib/libc.so.6", "lib/libz.so.1"):
        (folder / name).parent.mkdir(parents=True)
        (folder / name).touch()
    assert bom.strangers(layout, folder) == [folder / "lib/libz.so.1"]


def test_what_is_no_yaml_is_told(tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text("a: [")
    with pytest.raises(ValueError, match="not YAML"):
        bom.read(tmp_path / "bad.yaml")


KEY = "-----BEGIN RSA PRIVATE KEY-----\nabc\n-----END RSA PRIVATE KEY-----\n"


def test_key_of_one_s_own_is_taken_and_a_test_key_is_not(tmp_path: Path) -> None:
    own, known, copied = (tmp_path / name for name in ("own.pem", "known.pem", "copied.pem"))
    own.write_text(KEY.replace("abc", "xyz"))
    known.write_text(KEY)
    copied.write_text(KEY)
    for path in (own, copied):
        path.chmod(0o600)
    assert keys.check(own, (known,)) == []
    assert "test key" in keys.check(copied, (known,))[0]
    own.chmod(0o644)
    assert "chmod 600" in keys.check(own, (known,))[0]
    assert "no readable" in keys.check(tmp_path / "absent.pem")[0]
