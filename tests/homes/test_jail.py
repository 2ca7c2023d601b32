"""A worker at home: it starts, chats and drains with the files and calls that the home has."""

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from homes import image
from tests.e2e.stack import Program, running
from tests.homes.conftest import MakeJail
from tests.homes.jail import Home, Jail

PYTHON = "/opt/python/bin/python3"
CHAT = {"model": "novice", "messages": [{"role": "user", "content": "What is Cloister?"}]}


def test_image_has_few_files(worker_image: Path) -> None:
    size = image.measure(worker_image)
    assert 1000 < size.files <= image.MOST_FILES
    assert size.size_bytes < 700 * 2**20


def test_worker_chats_and_drains_at_home(home: Home, jail: MakeJail) -> None:
    made = jail(home)
    with running(made.start(*home.argv)) as program:
        url = program.wait_for(r"serving at (http://\S+)")[1]
        with httpx.Client(base_url=url, timeout=120, trust_env=False) as client:
            assert text_of(client) == text_of(client) != ""
            drained = drain_while_answering(client)
            assert client.get("/ready").status_code == 503
        assert drained == 0
        assert mapped_outside(program, made) == []
        os.kill(program.process.pid, signal.SIGKILL)  # as `occlum stop` does


def test_worker_chats_on_the_c_library_of_occlum(old_worker: Home, jail: MakeJail) -> None:
    with running(jail(old_worker).start(*old_worker.argv)) as program:
        url = program.wait_for(r"serving at (http://\S+)")[1]
        with httpx.Client(base_url=url, timeout=120, trust_env=False) as client:
            assert text_of(client) != ""


def text_of(client: httpx.Client) -> str:
    """A streamed answer, greedy."""
    with client.stream("POST", "/v1/chat/completions", json=streamed()) as answer:
        assert answer.status_code == 200
        return "".join(pieces(answer))


def drain_while_answering(client: httpx.Client) -> int:
    """Drain in the middle of an answer, which ends whole; returns the requests then left."""
    with client.stream("POST", "/v1/chat/completions", json=streamed()) as answer:
        stream = pieces(answer)
        next(stream)
        assert client.post("/worker/drain").json()["status"] == "draining"
        assert list(stream)[-1] is not None
    return int(client.post("/worker/drain").json()["requests"])


def streamed() -> dict[str, object]:
    return {**CHAT, "stream": True, "temperature": 0, "max_tokens": 40}


def pieces(answer: httpx.Response) -> Iterator[str]:
    for line in answer.iter_lines():
        if line.startswith("data: {"):
            for choice in json.loads(line.removeprefix("data: "))["choices"]:
                yield choice["delta"].get("content") or ""


def mapped_outside(program: Program, jail: Jail) -> list[str]:
    """Files that the process maps and that its home does not hold."""
    lines = Path(f"/proc/{program.process.pid}/maps").read_text().splitlines()
    paths = {line.split(maxsplit=5)[5] for line in lines if " /" in line}
    assert any("libtorch_cpu.so" in path for path in paths)
    assert any("tokenizers.abi3.so" in path for path in paths)
    held = {os.stat(path).st_ino for path in jail.root.rglob("*") if path.is_file()}
    inodes = {int(line.split()[4]) for line in lines if " /" in line}
    return [str(inode) for inode in inodes - held]


def test_worker_does_not_start_when_a_file_is_left_out(home: Home, jail: MakeJail) -> None:
    del home.files["/opt/site/worker/engine/sampler.pyc"]
    with running(jail(home).start(*home.argv)) as program:
        program.wait_for("No module named 'worker.engine.sampler'")
        assert program.process.wait(60) == 1


def test_worker_does_not_start_without_its_settings(home: Home, jail: MakeJail) -> None:
    del home.files["/etc/cloister.toml"]
    with running(jail(home).start(*home.argv)) as program:
        program.wait_for("settings file /etc/cloister.toml")
        assert program.process.wait(60) == 2


FORBIDDEN = {
    "fork": "import os; os.fork()",
    "spawn": "import os; os.posix_spawn('/opt/python/bin/python3', ['x'], {})",
    "exec": "import os; os.execv('/opt/python/bin/python3', ['x'])",
    "usage": "import resource; resource.getrusage(0)",
    "memory file": "import os; os.memfd_create('x')",
    "attributes": "import os; os.listxattr('/tmp')",
    "writing": "open('/opt/site/new', 'w')",
}


@pytest.mark.parametrize("call", FORBIDDEN)
def test_forbidden_call_ends_the_program(call: str, home: Home, jail: MakeJail) -> None:
    with running(jail(home).start(PYTHON, "-c", FORBIDDEN[call])) as program:
        program.wait_for(r"^(OSError|BlockingIOError): \[Errno (11|30|38)\]")
        assert program.process.wait(60) == 1


def test_program_sees_the_home_s_environment_and_no_other(home: Home, jail: MakeJail) -> None:
    words = "import os, json; print('seen', json.dumps(dict(os.environ)))"
    with running(jail(home).start(PYTHON, "-c", words)) as program:
        seen = json.loads(program.wait_for(r"^seen (.*)$")[1])
        assert program.process.wait(60) == 0
    assert seen == {**home.env, "LC_CTYPE": "C.UTF-8"} or seen == dict(home.env)
