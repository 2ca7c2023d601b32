"""A worker at home: it starts, chats and drains with the files and calls that the home has."""

import json
import os
import re
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from cloister.memory import mapped_bytes
from homes import image
from homes.parts import MOST_FILES
from tests.e2e.stack import Program, running
from tests.homes.conftest import LOCAL, MakeJail, MakeSettings
from tests.homes.jail import Home, Jail
from tests.homes.opened import Opened

pytestmark = pytest.mark.timeout(600)
PATIENCE_S = 500  # a worker starts in seconds; a machine may be busy

PYTHON = "/opt/python/bin/python3"
CHAT = {"model": "novice", "messages": [{"role": "user", "content": "What is Cloister?"}]}
COMPILED = (
    *("libtorch_cpu.so", "tokenizers", "llguidance", "_pydantic_core", "httptools/parser"),
    "libcloister_kernels.so",
)
"""Compiled parts that a worker with int8 weights uses."""

MOST_OPENED = 2500
MOST_MAPPED_BYTES = 1_000_000_000
"""Of a worker beyond weights and KV cache."""

MODEL_BYTES, CACHE_BYTES = 8 * 2**20, 8 * 2**20


def test_image_has_few_files(worker_image: Path) -> None:
    size = image.measure(worker_image)
    assert 1000 < size.files <= MOST_FILES
    assert size.size_bytes < 600 * 2**20


def test_worker_chats_and_drains_at_home(home: Home, jail: MakeJail) -> None:
    made = jail(home)
    with Opened(made.root) as opened, running(made.start(*home.argv)) as program:
        with talking(program) as client:
            files, mapped = len(opened.files()), mapped_by(program)
            sys.stdout.write(f"{files} files opened at start, {mapped >> 20} MiB mapped\n")
            assert 1000 < files < MOST_OPENED
            assert mapped - MODEL_BYTES - CACHE_BYTES < MOST_MAPPED_BYTES
            assert text_of(client) == text_of(client) != ""
            drained = drain_while_answering(client)
            assert client.get("/ready").status_code == 503
        assert drained == 0
        check_mapped(program, made)
        os.kill(program.process.pid, signal.SIGKILL)  # as `occlum stop` does


def test_worker_s_linears_may_be_outside(
    home: Home, jail: MakeJail, make_settings: MakeSettings
) -> None:
    with running(gpu()) as outside:
        url = outside.wait_for(r"GPU server at (tcp://\S+)", PATIENCE_S)[1]
        split = {"execution": "split", "gpu": [url], "masks_mb": 8, "gpu_deadline_s": 100}
        strict = {"on_gpu_loss": "reject", "on_empty": "wait"}
        home.files["/etc/cloister.toml"] = make_settings(
            {"worker": LOCAL["worker"] | split | strict}
        )
        with running(jail(home).start(*home.argv)) as program, talking(program) as client:
            assert client.get("/v1/models").json()["data"][0]["execution"] == "split-blind"
            assert drain_while_answering(client) == 0
            assert calls_outside(client) > 0


def gpu() -> Program:
    """`cloister gpu` as a process of the host."""
    words = ("--device", "cpu", "--threads", "1", "--listen", "tcp://127.0.0.1:0")
    return Program((sys.executable, "-m", "worker.gpu", *words), {})


def calls_outside(client: httpx.Client) -> float:
    metrics = client.get("/metrics").text
    return float(re.findall(r"^cloister_split_calls\S* (\S+)$", metrics, re.MULTILINE)[0])


def test_worker_chats_on_the_c_library_of_occlum(old_worker: Home, jail: MakeJail) -> None:
    with running(jail(old_worker).start(*old_worker.argv)) as program, talking(program) as client:
        assert text_of(client) != ""


@contextmanager
def talking(program: Program) -> Iterator[httpx.Client]:
    """A client of the worker that `program` is, once it serves."""
    url = program.wait_for(r"serving at (http://\S+)", PATIENCE_S)[1]
    with httpx.Client(base_url=url, timeout=PATIENCE_S, trust_env=False) as client:
        yield client


def text_of(client: httpx.Client) -> str:
    """A streamed answer, greedy, to its end."""
    with client.stream("POST", "/v1/chat/completions", json=streamed()) as answer:
        assert answer.status_code == 200
        return "".join(pieces(answer))


def drain_while_answering(client: httpx.Client) -> int:
    """Drain in the middle of an answer, which ends whole; returns the requests then left."""
    with client.stream("POST", "/v1/chat/completions", json=streamed(12)) as answer:
        stream = pieces(answer)
        first = next(stream)
        assert client.post("/worker/drain").json()["status"] == "draining"
        assert (first + "".join(stream)).startswith("Cloister is confidential")
    return int(client.post("/worker/drain").json()["requests"])


def streamed(tokens: int = 40) -> dict[str, object]:
    return {**CHAT, "stream": True, "temperature": 0, "max_tokens": tokens}


def pieces(answer: httpx.Response) -> Iterator[str]:
    for line in answer.iter_lines():
        if line.startswith("data: {"):
            for choice in json.loads(line.removeprefix("data: "))["choices"]:
                yield choice["delta"].get("content") or ""


def mapped_by(program: Program) -> int:
    mapped = mapped_bytes(Path(f"/proc/{program.process.pid}"))
    assert mapped is not None
    return mapped


def check_mapped(program: Program, jail: Jail) -> None:
    """All files that the process maps are its home's, its compiled parts among them."""
    maps = Path(f"/proc/{program.process.pid}/maps").read_text().splitlines()
    mapped = {int(line.split()[4]): line.split(maxsplit=5)[5] for line in maps if " /" in line}
    assert [part for part in COMPILED if not any(part in path for path in mapped.values())] == []
    held = {os.stat(path).st_ino for path in jail.root.rglob("*") if path.is_file()}
    assert {path for inode, path in mapped.items() if inode not in held} == set()


def test_worker_does_not_start_when_a_file_is_left_out(home: Home, jail: MakeJail) -> None:
    del home.files["/opt/site/worker/settings.pyc"]
    with running(jail(home).start(*home.argv)) as program:
        program.wait_for("No module named 'worker.settings'", PATIENCE_S)
        assert program.process.wait(PATIENCE_S) == 1


def test_worker_does_not_start_without_its_kernels(home: Home, jail: MakeJail) -> None:
    del home.files["/opt/site/worker/kernels/libcloister_kernels.so"]
    with running(jail(home).start(*home.argv)) as program:
        program.wait_for("libcloister_kernels.so was not compiled", PATIENCE_S)
        assert program.process.wait(PATIENCE_S) == 2


def test_worker_does_not_start_without_its_settings(home: Home, jail: MakeJail) -> None:
    del home.files["/etc/cloister.toml"]
    with running(jail(home).start(*home.argv)) as program:
        program.wait_for("settings file /etc/cloister.toml", PATIENCE_S)
        assert program.process.wait(PATIENCE_S) == 2


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
        program.wait_for(r"^(OSError|BlockingIOError): \[Errno (11|30|38)\]", PATIENCE_S)
        assert program.process.wait(PATIENCE_S) == 1


def test_program_sees_the_home_s_environment_and_no_other(home: Home, jail: MakeJail) -> None:
    words = "import os, json; print('seen', json.dumps(dict(os.environ)))"
    with running(jail(home).start(PYTHON, "-c", words)) as program:
        seen = json.loads(program.wait_for(r"^seen (.*)$", PATIENCE_S)[1])
        assert program.process.wait(PATIENCE_S) == 0
    assert seen == {**home.env, "LC_CTYPE": "C.UTF-8"} or seen == dict(home.env)
