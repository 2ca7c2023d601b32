"""Where a model's name leads, with no network."""

from pathlib import Path

import pytest

from cloister.errors import BadModel
from worker.model.source import WANTED_FILES, find_model


def offline(hub_id: str) -> Path:
    raise ConnectionError("no route\nmore")


def test_folder_is_itself(tmp_path: Path) -> None:
    assert find_model(str(tmp_path), offline) == tmp_path


def test_hub_id_is_fetched(tmp_path: Path) -> None:
    asked = []
    fetched = find_model("owner/name-1.5", lambda hub_id: asked.append(hub_id) or tmp_path)
    assert (fetched, asked) == (tmp_path, ["owner/name-1.5"])


def test_offline_tells_what_failed() -> None:
    with pytest.raises(BadModel, match=r"owner/name.*ConnectionError: no route$"):
        find_model("owner/name", offline)


@pytest.mark.parametrize("name", ["./nowhere", "/no/where", "~/nowhere-at-all", "nowhere", "a/b/c"])
def test_path_that_does_not_exist_says_so(name: str) -> None:
    with pytest.raises(BadModel, match="no folder"):
        find_model(name, offline)


def test_file_is_not_a_model(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").touch()
    with pytest.raises(BadModel, match="is a file"):
        find_model(str(tmp_path / "model.safetensors"), offline)


def test_novice_is_found_beside_the_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worker.__file__", str(tmp_path / "__init__.py"))
    with pytest.raises(BadModel, match="novice"):
        find_model("novice", offline)
    folder = tmp_path / "novice" / "model"
    folder.mkdir(parents=True)
    (folder / "config.json").touch()
    assert find_model("novice", offline) == folder


def test_neither_code_nor_pickles_are_fetched() -> None:
    wanted = [Path(name) for name in ("model.safetensors", "tokenizer.json", "chat.jinja")]
    unwanted = [Path(name) for name in ("modeling.py", "pytorch_model.bin", "model.pt", "x.pkl")]
    assert all(any(path.match(pattern) for pattern in WANTED_FILES) for path in wanted)
    assert not any(path.match(pattern) for path in unwanted for pattern in WANTED_FILES)
