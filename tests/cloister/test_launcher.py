"""`cloister up` with stand-ins for its parts: what it plans, says and leaves behind."""

import json
import os
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from pydantic import SecretStr

from cloister.errors import BadSettings
from cloister.launcher import Place, UpSettings, choose_places, main, plan
from cloister.ports import free_ports, obstacle
from cloister.welcome import Reception, url, welcome

TOKEN = SecretStr("a token of the tests")
FAKE = str(Path(__file__).with_name("fake_part.py"))
PROGRAM = f"""
import asyncio, sys
from pydantic import SecretStr
from cloister.launcher import Place, run
from cloister.supervisor import Part
places = [Place(n, "127.0.0.1", int(p), "") for n, p in (w.split(":") for w in sys.argv[1:3])]
words = sys.argv[3:]
parts = [Part(p.name, (sys.executable, {FAKE!r}, str(p.port), *words), p.url) for p in places]
sys.exit(asyncio.run(run(parts, places, SecretStr("a token"), 20)))
"""


@contextmanager
def taken_port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@contextmanager
def running(*words: str) -> Iterator[subprocess.Popen[str]]:
    """The launcher over two stand-ins."""
    ports = free_ports(["127.0.0.1"] * 2)
    places = [f"controller:{ports[0]}", f"worker:{ports[1]}"]
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *places, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def read_pids(process: subprocess.Popen[str], count: int) -> list[int]:
    lines = [read_line(process, "of pid ") for _ in range(count)]
    return [int(line.split("of pid ")[1].split()[0]) for line in lines]


def read_line(process: subprocess.Popen[str], text: str) -> str:
    """The next line of the log that holds `text`."""
    assert process.stderr is not None
    for line in process.stderr:
        if text in line:
            return line
    raise AssertionError(f"the log ended without {text!r}")


def wait_until_dead(pid: int) -> None:
    deadline = time.monotonic() + 20
    while Path(f"/proc/{pid}").exists() and _state(pid) != "Z":
        assert time.monotonic() < deadline, f"process {pid} is left"
        time.sleep(0.02)


def _state(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return "Z"


def read_welcome(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    lines = []
    while "Ctrl-C" not in "".join(lines):
        lines.append(process.stdout.readline())
        assert lines[-1], "ended before it was ready"
    return "".join(lines)


def test_stack_greets_once_all_parts_answer() -> None:
    with running() as process:
        text = read_welcome(process)
    assert "serves fake-model" in text
    assert '"model": "fake-model"' in text
    assert "model='fake-model'" in text


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signal_stops_everything_with_status_0(number: signal.Signals) -> None:
    with running() as process:
        pids = read_pids(process, 2)
        read_welcome(process)
        process.send_signal(number)
        assert process.wait(20) == 0
        assert not any(Path(f"/proc/{pid}").exists() for pid in pids)


def test_signal_while_starting_stops_everything() -> None:
    with running() as process:
        pids = read_pids(process, 1)
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0
        assert not Path(f"/proc/{pids[0]}").exists()


def test_killed_launcher_leaves_no_orphan() -> None:
    with running("stubborn") as process:
        pids = read_pids(process, 2)
        process.kill()
        process.wait()
        for pid in pids:
            wait_until_dead(pid)


def test_part_that_does_not_start_gives_status_1_and_its_words() -> None:
    with running("die", "3") as process:
        _, said = process.communicate(timeout=20)
    assert process.returncode == 1
    assert "ended with status 3 before it was ready" in said
    assert "this is why" in said
    assert "Traceback" not in said


def test_dead_part_is_started_again() -> None:
    with running() as process:
        pids = read_pids(process, 2)
        read_welcome(process)
        os.kill(pids[0], signal.SIGKILL)
        again = read_line(process, "starting it again")
        assert again.endswith("was killed by SIGKILL; starting it again in 0.5 s\n")
        assert read_pids(process, 1) != pids[:1]


def test_port_in_use_is_told_with_its_flag(capsys: pytest.CaptureFixture[str]) -> None:
    with taken_port() as port:
        assert main(["--worker-port", str(port), "--port", "0", "--webui-port", "0"]) == 2
    assert capsys.readouterr().err == (
        f"error: worker cannot have port {port} on 127.0.0.1: Address already in use;"
        " choose another with --worker-port\n"
    )


def test_port_given_twice_is_told() -> None:
    with pytest.raises(BadSettings, match="port 7860 is given twice"):
        choose_places(UpSettings(port=7860))


def test_ports_beyond_the_last_are_told() -> None:
    with pytest.raises(BadSettings, match="worker-2 would need port 65536"):
        choose_places(UpSettings(port=0, worker_port=65535, webui_port=0, workers=2))


def test_zero_means_free_and_different_ports() -> None:
    places = choose_places(UpSettings(port=0, worker_port=0, webui_port=0, workers=3))
    assert [place.name for place in places] == [
        "controller",
        "worker-1",
        "worker-2",
        "worker-3",
        "webui",
    ]
    assert len({place.port for place in places}) == 5
    assert all(obstacle(place.host, place.port) is None for place in places)


def test_join_token_is_shared_and_on_no_command_line() -> None:
    settings = UpSettings(port=0, worker_port=0, webui_port=0)
    controller, worker, page = plan(settings, choose_places(settings), TOKEN, None)
    token = TOKEN.get_secret_value()
    assert controller.environment["CLOISTER_CONTROLLER_JOIN_TOKEN"] == token
    assert worker.environment["CLOISTER_WORKER_JOIN_TOKEN"] == token
    assert not page.environment
    assert token not in repr((controller, worker, page))


def test_parts_get_the_settings_file_by_its_full_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    settings = UpSettings(port=0, worker_port=0, webui_port=0)
    parts = plan(settings, choose_places(settings), TOKEN, Path("my.toml"))
    assert {part.environment["CLOISTER_CONFIG"] for part in parts} == {str(tmp_path / "my.toml")}


def test_model_is_handed_over_only_when_given() -> None:
    places = (Place("controller", "127.0.0.1", 1, ""), Place("worker", "127.0.0.1", 2, ""))
    _, left_out = plan(UpSettings(), places, TOKEN, None)
    _, given = plan(UpSettings(model="here"), places, TOKEN, None)
    assert "--model" not in left_out.command
    assert given.command[-2:] == ("--model", "here")


def test_worker_on_all_interfaces_is_reached_on_loopback() -> None:
    assert url("0.0.0.0", 1) == "http://127.0.0.1:1"
    assert url("::", 1) == "http://[::1]:1"
    assert url("box.local", 1) == "http://box.local:1"


def test_welcome_holds_a_whole_curl_line_and_a_whole_program() -> None:
    text = welcome("http://127.0.0.1:8000/v1", None, Reception("it's", "none"))
    line = next(line for line in text.splitlines() if line.startswith("curl "))
    words = shlex.split(line)
    assert json.loads(words[-1])["model"] == "it's"
    program = text[text.index("from openai") : text.index("\n\nCtrl-C")]
    compile(program, "welcome", "exec")


def test_welcome_leaves_a_place_for_the_key() -> None:
    text = welcome("http://127.0.0.1:8000/v1", None, Reception("m", "YOUR-KEY"))
    assert "authorization: Bearer YOUR-KEY" in text
    assert "api_key='YOUR-KEY'" in text
