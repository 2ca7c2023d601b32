import json
import os
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
import torch

from cloister.enclaves import PAGE, PROFILES
from homes import bom, gramine, image, occlum
from homes.libraries import C_LIBRARY, c_library
from homes.parts import PARTS, PartName
from tests.homes.jail import Home, Jail, can_jail, gramine_home, occlum_home
from tests.homes.test_gramine import VALUES
from worker.kernels.build import LIBRARY, build

ROOT = Path(__file__).parent.parent.parent
MakeJail = Callable[[Home], Jail]
Settings = dict[str, dict[str, object]]
MakeSettings = Callable[[Settings], Path]

LOCAL: Settings = {"worker": {"model": "novice", "port": 0, "threads": 1, "cache_mb": 8}}
LOW_BIT: Settings = {"worker": {**LOCAL["worker"], "weights": "int8", "kernels": "native"}}
"""Also uses the compiled kernels, and does not start without them."""


@pytest.fixture(scope="session")
def make_image(tmp_path_factory: pytest.TempPathFactory) -> Callable[[PartName], Path]:
    """Makes images of this checkout, each once. CI may not do without jails."""
    if not can_jail():
        assert "CI" not in os.environ, "jails need root, namespaces, ldd and unshare"
        pytest.skip("jails need root")
    if torch.version.cuda is not None:
        pytest.skip("images need PyTorch's CPU build")

    @cache
    def make(name: PartName) -> Path:
        folder = tmp_path_factory.mktemp(name) / "image"
        kernels = ROOT / "worker/kernels" / LIBRARY
        if not kernels.exists():  # a checkout that was not installed
            build(kernels)
        image.build(PARTS[name], folder, ROOT)
        return folder

    return make


@pytest.fixture(scope="session")
def worker_image(make_image: Callable[[PartName], Path]) -> Path:
    return make_image("worker")


@pytest.fixture(scope="session")
def page_image(make_image: Callable[[PartName], Path]) -> Path:
    return make_image("webui")


@pytest.fixture
def make_settings(tmp_path: Path) -> MakeSettings:
    """Writes a settings file."""

    def make(settings: Settings) -> Path:
        path = tmp_path / "cloister.toml"
        tables = [
            f"[{name}]\n"
            + "".join(f"{key} = {json.dumps(value)}\n" for key, value in table.items())
            for name, table in settings.items()
        ]
        path.write_text("".join(tables))
        return path

    return make


@pytest.fixture
def occlum_worker(
    worker_image: Path, make_settings: MakeSettings, monkeypatch: pytest.MonkeyPatch
) -> Home:
    """What the shipped bom and the rendered Occlum.json describe."""
    return occlum_home_of(worker_image, make_settings(LOW_BIT), monkeypatch)


@pytest.fixture
def old_worker(make_settings: MakeSettings, monkeypatch: pytest.MonkeyPatch) -> Home:
    """The same with what occlum/install_python.sh has made, and the glibc that Occlum has."""
    libraries = old_libraries("worker")
    folder = ROOT / "occlum/image/worker"
    return occlum_home_of(folder, make_settings(LOW_BIT), monkeypatch, libraries=libraries)


def old_libraries(part: PartName) -> dict[str, Path]:
    folder = ROOT / "occlum/python-root/lib/x86_64-linux-gnu"
    if not (ROOT / "occlum/image" / part).is_dir() or not (folder / "libc-2.31.so").exists():
        pytest.skip("occlum/install_python.sh has not been run")
    return {name: folder / name for name in C_LIBRARY if (folder / name).exists()}


def occlum_home_of(
    folder: Path,
    settings: Path,
    monkeypatch: pytest.MonkeyPatch,
    part: PartName = "worker",
    libraries: dict[str, Path] | None = None,
) -> Home:
    """The home that has the image in `folder`; the command is that of occlum/run.sh."""
    monkeypatch.setenv("IMAGE", str(folder))
    monkeypatch.setenv("SETTINGS", str(settings))
    listed = bom.read(ROOT / "occlum/image.yaml")
    assert bom.check(listed, ROOT) == []
    made = occlum.render(PAGE if part == "webui" else PROFILES["1b"])
    assert occlum.check(made) == []
    argv = ("/bin/python3", "-m", part)
    return occlum_home(argv, bom.lay_out(listed, ROOT), occlum.environment_of(made), libraries)


@pytest.fixture
def gramine_worker(worker_image: Path, make_settings: MakeSettings, tmp_path: Path) -> Home:
    """What the shipped template describes, with a stand-in for Gramine's own folder."""
    runtime = tmp_path / "runtime"
    runtime.mkdir()
    for name, path in c_library().items():
        (runtime / name).symlink_to(path.resolve())
    (runtime / "libsysdb.so").touch()
    values = {**VALUES, "image": str(worker_image), "settings": str(make_settings(LOW_BIT))}
    template = ROOT / "gramine/worker.manifest.template"
    manifest = gramine.parse(gramine.render(template, values, gramine.Runtime(str(runtime))))
    assert gramine.check(manifest) == []
    return gramine_home(manifest)


@pytest.fixture(params=["occlum", "gramine"])
def home(request: pytest.FixtureRequest) -> Home:
    """Each home in turn."""
    made: Home = request.getfixturevalue(f"{request.param}_worker")
    return made


@pytest.fixture
def jail(tmp_path: Path) -> MakeJail:
    """Makes jails, in a folder of the test's own."""
    return lambda home: Jail(home, tmp_path)
