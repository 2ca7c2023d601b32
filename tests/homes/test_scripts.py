"""The scripts that build and run, with stand-ins for the homes' own tools."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from cloister.ports import free_ports
from homes import occlum
from homes.__main__ import main
from tests.homes import fake_occlum
from tests.homes.test_bom import KEY

pytestmark = [
    pytest.mark.timeout(600),
    pytest.mark.skipif(not shutil.which("curl"), reason="run.sh asks with curl"),
]
PATIENCE_S = 400  # a machine may be busy
ROOT = Path(__file__).parent.parent.parent
SCRIPTS = sorted(ROOT.glob("occlum/*.sh")) + sorted(ROOT.glob("gramine/*.sh"))


class Checkout:
    """A folder laid out as the repository is, as far as the scripts look at it."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "checkout"
        for name in ("cloister", "homes", "gramine"):
            (self.root).mkdir(exist_ok=True)
            (self.root / name).symlink_to(ROOT / name)
        copy_tracked("occlum", self.root / "occlum")
        for part in ("python", "site"):
            for name in ("worker", "webui", "both"):
                (self.root / "occlum/image" / name / part).mkdir(parents=True)
        self.log = folder / "log"
        fake_occlum.install(folder / "bin")
        self.env = {
            **os.environ,
            "PATH": f"{folder / 'bin'}:{os.environ['PATH']}",
            "PYTHON": sys.executable,
            "FAKE_LOG": str(self.log),
        }

    def settings(self, part: str) -> dict[str, Any]:
        """The settings of the instance that was built."""
        made = json.loads((self.root / "occlum/instance" / part / "Occlum.json").read_text())
        assert isinstance(made, dict)
        return made

    def run(self, script: str, *words: str, **env: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(self.root / "occlum" / script), *words],
            env={**self.env, **env},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=PATIENCE_S,
        )


def copy_tracked(name: str, folder: Path) -> None:
    """A home's own files, and nothing that was built beside them."""
    folder.mkdir()
    for path in (ROOT / name).iterdir():
        if path.is_file():
            shutil.copy(path, folder)


@pytest.fixture
def checkout(tmp_path: Path) -> Iterator[Checkout]:
    """Afterwards nothing that it started is left."""
    made = Checkout(tmp_path)
    yield made
    started = made.log.with_suffix(".pid")
    if started.exists():
        with suppress(ProcessLookupError):
            os.kill(int(started.read_text()), signal.SIGKILL)


@pytest.fixture
def key(tmp_path: Path) -> Path:
    path = tmp_path / "own.pem"
    path.write_text(KEY)
    path.chmod(0o600)
    return path


def test_instance_is_built_from_checked_settings(checkout: Checkout, key: Path) -> None:
    done = checkout.run("build_occlum_instance.sh", "worker", KEY=str(key), PROFILE="3b")
    assert done.returncode == 0, done.stdout
    made = checkout.settings("worker")
    assert occlum.check(made) == []
    assert made["resource_limits"]["user_space_size"] == "20480MB"
    asked = checkout.log.read_text()
    assert f"occlum build --sign-key {key}" in asked
    assert "occlum print mrenclave" in asked
    assert not (checkout.root / "occlum/instance/worker/image/stranger").exists()


def test_nothing_is_built_with_a_readable_key_or_none(checkout: Checkout, key: Path) -> None:
    key.chmod(0o644)
    done = checkout.run("build_occlum_instance.sh", "worker", KEY=str(key))
    assert (done.returncode, "others can read it" in done.stdout) == (1, True)
    assert checkout.run("build_occlum_instance.sh", "worker").returncode == 2
    assert not checkout.log.exists()


def test_models_of_the_host_are_for_demonstrations(checkout: Checkout) -> None:
    done = checkout.run("build_occlum_instance.sh", "worker", SGX_MODE="SIM", MODELS="/models")
    assert done.returncode == 0, done.stdout
    made = checkout.settings("worker")
    assert occlum.check(made) != []
    assert occlum.check(made, demonstration=True) == []


def test_page_has_an_instance_of_its_own(checkout: Checkout) -> None:
    done = checkout.run("build_occlum_instance.sh", "webui", SGX_MODE="SIM")
    assert done.returncode == 0, done.stdout
    made = checkout.settings("webui")
    assert occlum.check(made) == []
    assert made["resource_limits"]["user_space_size"] == "3072MB"
    assert not (checkout.root / "occlum/instance/worker").exists()


@pytest.mark.parametrize("shared", [(), ("--one-instance",)], ids=["apart", "one instance"])
def test_worker_starts_drains_and_stops(
    shared: tuple[str, ...], checkout: Checkout, tmp_path: Path
) -> None:
    done = checkout.run("build_occlum_instance.sh", *(shared or ("worker",)), SGX_MODE="SIM")
    assert done.returncode == 0, done.stdout
    (port,) = free_ports(["127.0.0.1"])
    settings = tmp_path / "settings.toml"
    settings.write_text(f'[worker]\nmodel = "novice"\nport = {port}\nthreads = 1\ncache_mb = 8\n')
    url = f"http://127.0.0.1:{port}"
    env = {"WORKER_URL": url, "CLOISTER_CONFIG": str(settings), "PYTHONPATH": str(ROOT)}
    assert checkout.run("run.sh", *shared, "start", "worker", **env).returncode == 0
    assert start_part(checkout, [*shared, "exec", "worker"], env) == 0
    assert httpx.get(f"{url}/ready", trust_env=False).status_code == 200
    assert "drained" in checkout.run("run.sh", "drain", **env).stdout
    assert httpx.get(f"{url}/ready", trust_env=False).status_code == 503
    assert checkout.run("run.sh", *shared, "stop", "worker", **env).returncode == 0
    with pytest.raises(httpx.TransportError):
        httpx.get(f"{url}/health", trust_env=False)


def start_part(checkout: Checkout, words: list[str], env: dict[str, str]) -> int:
    """Without a pipe that the part would hold open."""
    command = [str(checkout.root / "occlum/run.sh"), *words]
    quiet = subprocess.DEVNULL
    return subprocess.run(
        command, env={**checkout.env, **env}, stdout=quiet, stderr=quiet, timeout=PATIENCE_S
    ).returncode


def test_page_starts_and_stops_without_a_worker(checkout: Checkout, tmp_path: Path) -> None:
    assert checkout.run("build_occlum_instance.sh", "webui", SGX_MODE="SIM").returncode == 0
    (port,) = free_ports(["127.0.0.1"])
    settings = tmp_path / "settings.toml"
    settings.write_text(f"[webui]\nport = {port}\n")
    url = f"http://127.0.0.1:{port}"
    env = {"WEBUI_URL": url, "CLOISTER_CONFIG": str(settings), "PYTHONPATH": str(ROOT)}
    assert start_part(checkout, ["exec", "webui"], env) == 0
    assert httpx.get(f"{url}/ready", trust_env=False).status_code == 200
    assert checkout.run("run.sh", "stop", "webui", **env).returncode == 0


def test_bench_compares_host_and_enclave(checkout: Checkout) -> None:
    assert checkout.run("build_occlum_instance.sh", "worker", SGX_MODE="SIM").returncode == 0
    settings = checkout.root / "occlum/cloister.toml"
    env = {"CLOISTER_CONFIG": str(settings), "PYTHONPATH": str(ROOT)}
    done = checkout.run("run.sh", "bench", **env)
    assert done.returncode == 0, done.stdout
    assert "occlum exec /bin/python3 -m cloister bench" in checkout.log.read_text()
    assert "the same tokens were generated" in done.stdout
    checkout.log.with_suffix(".pid").unlink()  # it has ended: nothing is left to kill


def test_unknown_word_is_told_what_there_is(checkout: Checkout) -> None:
    done = checkout.run("run.sh", "dance")
    assert done.returncode == 2
    assert "occlum/run.sh drain" in done.stdout
    assert checkout.run("run.sh", "start", "controller").returncode == 2
    assert checkout.run("build_occlum_instance.sh").returncode == 2


@pytest.mark.parametrize("part", ["worker", "gpu"])
@pytest.mark.skipif(not shutil.which("make"), reason="make is not installed")
def test_gramine_s_check_needs_no_gramine(part: str, tmp_path: Path) -> None:
    folder = tmp_path / "gramine"
    copy_tracked("gramine", folder)
    for name in ("python", "site"):
        (folder / "image" / name).mkdir(parents=True)
    words = ["make", "check", f"ROOT={ROOT}", f"PYTHON={sys.executable}", "PROFILE=7b"]
    words.append(f"PART={part}")
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "has no fault" in done.stdout
    assert 'enclave_size = "65536M"' in (folder / f"{part}.manifest.in").read_text()


@pytest.mark.skipif(not shutil.which("make"), reason="make is not installed")
def test_manifest_of_an_image_that_is_gone_is_made_again(tmp_path: Path) -> None:
    folder = tmp_path / "gramine"
    copy_tracked("gramine", folder)
    for name in ("worker.manifest.in", "worker.manifest"):
        (folder / name).touch()
    words = ["make", "--dry-run", f"ROOT={ROOT}", f"PYTHON={sys.executable}"]
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True)
    assert "homes image worker" in done.stdout
    assert "gramine-manifest worker.manifest.in worker.manifest" in done.stdout


@pytest.mark.skipif(not shutil.which("shellcheck"), reason="shellcheck is not installed")
def test_scripts_have_no_common_mistakes() -> None:
    done = subprocess.run(["shellcheck", *map(str, SCRIPTS)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("content", ['{"mount": []}', "{"])
def test_command_tells_each_fault(
    content: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "Occlum.json"
    path.write_text(content)
    assert main(["check", str(path)]) == 1
    assert all(line.startswith("error: ") for line in capsys.readouterr().err.splitlines())


PF_CRYPT = """#!/bin/sh
echo "$@" >>"$FAKE_LOG"
"""


def test_model_is_encrypted_file_by_file_with_a_key_nobody_else_reads(tmp_path: Path) -> None:
    fake = tmp_path / "bin/gramine-sgx-pf-crypt"
    fake.parent.mkdir()
    fake.write_text(PF_CRYPT)
    fake.chmod(0o755)
    model, out, key, log = (tmp_path / name for name in ("model", "out", "key", "log"))
    model.mkdir()
    (model / "config.json").write_text("{}")
    words = [str(ROOT / "gramine/encrypt_model.sh"), str(model), str(out), str(key)]
    env = {"PATH": f"{fake.parent}:{os.environ['PATH']}", "FAKE_LOG": str(log)}
    subprocess.run(words, env=env, check=True, capture_output=True)
    assert log.read_text() == f"encrypt -w {key} -i {model}/config.json -o {out}/config.json\n"
    assert (key.stat().st_mode & 0o777, key.stat().st_size) == (0o600, 16)
    assert subprocess.run(words, env=env, capture_output=True).returncode == 2  # it is there


def test_key_of_a_model_must_have_its_length(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    key = tmp_path / "key"
    key.write_bytes(b"too short")
    words = ["gramine", "worker", "--image", "/i", "--settings", "/s", "--demonstration-key"]
    assert main([*words, str(key)]) == 1
    assert "a model's key has 16" in capsys.readouterr().err
