"""API keys: what lets in, and what is told about what does not."""

from pathlib import Path

import pytest

from cloister.errors import BadSettings, Unauthorized
from controller.keys import Keys, make


def test_made_key_lets_in_and_no_other() -> None:
    key, line = make("ann")
    other, _ = make("bob")
    keys = Keys.load([line])
    assert keys.tenant(f"Bearer {key}")
    assert keys.tenant(f"bearer {key}")
    for wrong in (None, "", "Bearer ", f"Bearer {other}", f"Basic {key}", key, "Bearer \udcff"):
        with pytest.raises(Unauthorized):
            keys.tenant(wrong)


def test_without_keys_everyone_is_one_tenant() -> None:
    assert Keys().tenant(None) == Keys().tenant("Bearer x") == ""


def test_tenant_is_stable_and_tells_nothing() -> None:
    (key, line), (other, other_line) = make("ann"), make("bob")
    keys = Keys.load([other_line, line])
    tenant = keys.tenant(f"Bearer {key}")
    assert tenant == Keys.load([line]).tenant(f"Bearer {key}")
    assert tenant != keys.tenant(f"Bearer {other}")
    assert "ann" not in tenant
    assert tenant not in line


def test_keys_come_from_a_file_too(tmp_path: Path) -> None:
    key, line = make("ann")
    file = tmp_path / "keys"
    file.write_text(f"# people\n\n{line}\n")
    assert Keys.load([], file).tenant(f"Bearer {key}")


@pytest.mark.parametrize("content", ["", "# nobody\n"])
def test_file_without_keys_is_no_open_door(tmp_path: Path, content: str) -> None:
    file = tmp_path / "keys"
    file.write_text(content)
    with pytest.raises(BadSettings, match="everyone"):
        Keys.load([], file)


def test_fault_names_the_place_and_never_the_line(tmp_path: Path) -> None:
    key, line = make("ann")
    with pytest.raises(BadSettings, match="entry 2") as caught:
        Keys.load([line, key])
    assert key not in str(caught.value)
    with pytest.raises(BadSettings, match="ann is given twice"):
        Keys.load([line, line])
    with pytest.raises(BadSettings, match="cannot be read"):
        Keys.load([], tmp_path / "none")
    with pytest.raises(BadSettings, match="name"):
        make("no spaces")
