"""`make check-containers`: what of it can be told without a Docker engine."""

import subprocess
import urllib.request
from pathlib import Path

import pytest

from homes.containers import base, engine, packages
from homes.containers.install import missing, nothing_starts
from homes.containers.stack import Answer, take
from homes.containers.words import Failed, failure, run

INDEX = "https://packages.example/simple"


def test_pip_settings_become_build_arguments() -> None:
    told = packages.arguments({"PIP_INDEX_URL": INDEX, "HOME": "/root"}, links="")
    assert told["PIP_INDEX_URL"] == INDEX
    assert "HOME" not in told
    assert "PIP_EXTRA_INDEX_URL" not in told  # then the Dockerfile's own stands


def test_gpu_server_is_built_for_the_cpu() -> None:
    assert packages.arguments({}, "")["GPU_EXTRA_INDEX_URL"] == packages.CPU_INDEX
    own = packages.arguments({"PIP_EXTRA_INDEX_URL": INDEX}, "")
    assert own["GPU_EXTRA_INDEX_URL"] == INDEX


def test_dockerfile_knows_each_build_argument() -> None:
    dockerfile = (Path(__file__).parents[2] / "docker/Dockerfile").read_text()
    everything = dict.fromkeys(packages.SETTINGS, INDEX)
    for name in packages.arguments(everything, INDEX):
        assert f"\nARG {name}=" in dockerfile
    assert f"PIP_EXTRA_INDEX_URL={packages.CPU_INDEX}\n" in dockerfile


def test_folder_of_wheels_is_served_while_images_are_built(tmp_path: Path) -> None:
    (tmp_path / "some.whl").write_bytes(b"wheel")
    with packages.served(f"{tmp_path} {INDEX}") as links:
        address, other = links.split()
        with urllib.request.urlopen(f"{address}some.whl") as answer:
            assert answer.read() == b"wheel"
        assert other == INDEX
    with pytest.raises(OSError):
        urllib.request.urlopen(f"{address}some.whl")


def test_debian_s_main_archive_is_found_among_apt_s() -> None:
    lines = (
        "https://tools.example/apt main Tools\n"
        "http://deb.example/debian-security/ main Debian\n"
        "http://deb.example/debian/ main Debian\n"
        "http://odd.example/\n"
    )
    assert base.main_archive(lines) == "http://deb.example/debian"
    assert base.main_archive("") == base.MIRROR


def test_daemon_keeps_its_files_in_one_folder_and_its_hands_off_the_network(tmp_path: Path) -> None:
    told = engine.words(tmp_path)
    for name in ("host=unix://", "data-root=", "exec-root=", "pidfile="):
        assert any(word.startswith(f"--{name}{tmp_path}/") for word in told)
    assert {"--iptables=false", "--ip-forward=false", "--bridge=none"} <= set(told)


def test_docker_of_the_user_is_not_spoken_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", "tcp://elsewhere.example:2375")
    monkeypatch.setenv("DOCKER_CONTEXT", "elsewhere")
    told = engine.settings(tmp_path)
    assert told["DOCKER_HOST"] == f"unix://{tmp_path}/docker.sock"
    assert "DOCKER_CONTEXT" not in told


def test_mounts_that_a_daemon_left_are_found() -> None:
    table = (
        "proc /proc proc rw 0 0\noverlay /tmp/a/data/x overlay rw 0 0\nnone /tmp/ab tmpfs rw 0 0\n"
    )
    assert engine.mounts(Path("/tmp/a"), table) == ["/tmp/a/data/x"]


def test_failure_tells_the_last_lines() -> None:
    told = failure(("docker", "build", "--build-arg=A=secret"), 1, "one\n" * 100 + "two\n")
    assert told.startswith("docker build: exit status 1")
    assert told.endswith("two")
    assert len(told.splitlines()) < 20
    with pytest.raises(Failed, match="exit status 3"):
        run("sh", "-c", "exit 3")


def test_stream_is_put_together_with_the_times_of_its_pieces() -> None:
    answer = Answer("novice")
    for text, finish in (("Hel", None), ("lo", None), ("", "stop")):
        choice = {"delta": {"content": text}, "finish_reason": finish}
        take(answer, {"choices": [choice]})
    take(answer, {"choices": [], "usage": {"completion_tokens": 2}})
    assert (answer.text, answer.finish, answer.tokens) == ("Hello", "stop", 2)
    first_s = answer.pieces[0][0]
    assert answer.pieces_after(first_s - 1) == 2
    assert answer.pieces_after(answer.pieces[1][0]) == 0


def test_installed_services_are_not_started(tmp_path: Path) -> None:
    policy = tmp_path / "policy-rc.d"
    with nothing_starts(policy):
        assert subprocess.run([policy]).returncode == 101
    assert not policy.exists()


def test_policy_of_the_machine_stays(tmp_path: Path) -> None:
    policy = tmp_path / "policy-rc.d"
    policy.write_text("the machine's own")
    with nothing_starts(policy):
        pass
    assert policy.read_text() == "the machine's own"


def test_missing_programs_name_their_packages() -> None:
    assert missing({"sh": "dash", "no-such-program": "its-package"}) == ["its-package"]
