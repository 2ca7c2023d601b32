from collections.abc import Callable
from pathlib import Path

import pytest

from cloister.enclaves import PROFILES
from homes import bom, gramine, image, occlum
from homes.libraries import C_LIBRARY, c_library
from tests.homes.jail import Home, Jail, can_jail, gramine_home, occlum_home
from worker.kernels.build import LIBRARY, build

ROOT = Path(__file__).parent.parent.parent
SETTINGS = '[worker]\nmodel = "novice"\nport = 0\nthreads = 1\ncache_mb = 8\nkernels = "native"\n'

MakeJail = Callable[[Home], Jail]


@pytest.fixture(scope="session")
def worker_image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The image of this checkout, made once."""
    if not can_jail():
        pytest.skip("jails need root")
    folder = tmp_path_factory.mktemp("worker") / "image"
    image.build(folder, ROOT)
    kernels = folder / "site/worker/kernels" / LIBRARY
    if not kernels.exists():  # a checkout that was not installed
        build(kernels)
    return folder


@pytest.fixture(scope="session")
def settings_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("settings") / "cloister.toml"
    path.write_text(SETTINGS)
    return path


@pytest.fixture
def occlum_worker(worker_image: Path, settings_file: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """What the shipped bom and the rendered Occlum.json describe."""
    return occlum_home_of(worker_image, settings_file, monkeypatch)


@pytest.fixture
def old_worker(settings_file: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """The same with what occlum/install_python.sh has made, and the glibc that Occlum has."""
    folder = ROOT / "occlum/python-root/lib/x86_64-linux-gnu"
    if not (ROOT / "occlum/image").is_dir() or not (folder / "libc-2.31.so").exists():
        pytest.skip("occlum/install_python.sh has not been run")
    libraries = {name: folder / name for name in C_LIBRARY if (folder / name).exists()}
    return occlum_home_of(ROOT / "occlum/image", settings_file, monkeypatch, libraries)


def occlum_home_of(
    worker_image: Path,
    settings: Path,
    monkeypatch: pytest.MonkeyPatch,
    libraries: dict[str, Path] | None = None,
) -> Home:
    monkeypatch.setenv("IMAGE", str(worker_image))
    monkeypatch.setenv("SETTINGS", str(settings))
    listed = bom.read(ROOT / "occlum/worker.yaml")
    assert bom.check(listed, ROOT) == []
    made = occlum.render(PROFILES["1b"])
    assert occlum.check(made) == []
    return occlum_home(bom.lay_out(listed, ROOT), occlum.environment_of(made), libraries)


@pytest.fixture
def gramine_worker(worker_image: Path, settings_file: Path, tmp_path: Path) -> Home:
    """What the shipped template describes, with a stand-in for Gramine's own folder."""
    runtime = tmp_path / "runtime"
    runtime.mkdir()
    for name in C_LIBRARY:
        if name in c_library():
            (runtime / name).symlink_to(c_library()[name].resolve())
    (runtime / "libsysdb.so").touch()
    values = {
        "arguments": '"worker"',
        "image": str(worker_image),
        "settings": str(settings_file),
        "model": "",
        "log_level": "error",
        "enclave_mb": 16384,
        "max_threads": 64,
    }
    template = (ROOT / "gramine/worker.manifest.template").read_text()
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
