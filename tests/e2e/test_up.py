"""`cloister up`: what it prints works, it ends without a trace, it outlives its parts."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx

from cloister.ports import free_ports
from cloister.sse import Parser
from controller.keys import KeyTable
from controller.store import Store
from tests.e2e.stack import ACCOUNTS, Program, Stack, needs_curl, running

QUICK_S = 10


def chat(stack: Stack, text: str, **fields: object) -> httpx.Response:
    body = {"model": "novice", "messages": [{"role": "user", "content": text}], **fields}
    return httpx.post(f"{stack.api_url}/chat/completions", json=body, timeout=60)


def busyness() -> float:
    """How much longer things take for what else this machine does; 1 when it is all ours."""
    return max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))


def wait_until_served(stack: Stack) -> None:
    deadline = time.monotonic() + 60
    while (answer := chat(stack, "Hello!")).status_code != 200:
        assert answer.json()["error"]["type"], "an error without a type"
        assert time.monotonic() < deadline, answer.text
        time.sleep(0.1)


@needs_curl
def test_printed_curl_line_answers(stack: Stack) -> None:
    line = next(line for line in stack.lines if line.startswith("curl "))
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=True)
    answer = json.loads(done.stdout)
    assert answer["model"] == "novice"
    assert answer["choices"][0]["message"]["content"].strip()


def test_printed_program_answers(stack: Stack) -> None:
    text = stack.welcome
    program = text[text.index("from openai") : text.index("\n\nCtrl-C")]
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip()


def test_printed_page_is_there(stack: Stack) -> None:
    answer = httpx.get(stack.page_url)
    assert answer.status_code == 200
    assert "<html" in answer.text


def test_worker_killed_amid_a_stream_ends_it_with_an_error_and_is_replaced(stack: Stack) -> None:
    body = {
        "model": "novice",
        "messages": [{"role": "user", "content": "Tell me a story about a fox."}],
        "stream": True,
        "max_tokens": 400,
        "temperature": 2,  # so hot that it hardly ever comes to an end
        "seed": 1,
    }
    worker = stack.pid_of("worker")
    events: list[str] = []
    parser = Parser()
    with httpx.stream("POST", f"{stack.api_url}/chat/completions", json=body, timeout=60) as answer:
        for piece in answer.iter_bytes():
            if not events:
                os.kill(worker, signal.SIGKILL)
            events += [event.data for event in parser.feed(piece)]
    errors = [json.loads(data)["error"] for data in events if '"error"' in data]
    assert len(errors) == 1, "the answer was whole before the worker died, or no error came"
    assert set(errors[0]) == {"message", "type", "param", "code"}
    assert not any('"finish_reason":"' in data.replace(" ", "") for data in events)
    wait_until_served(stack)
    stack.wait_for(r"worker was killed by SIGKILL; starting it again")


def test_controller_killed_comes_back_and_the_worker_joins_again(stack: Stack) -> None:
    os.kill(stack.pid_of("controller"), signal.SIGKILL)
    stack.wait_for(r"controller was killed by SIGKILL; starting it again")
    deadline = time.monotonic() + 60
    while not _is_ready(stack.controller_url):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    wait_until_served(stack)


def test_second_start_is_quick_and_ctrl_c_leaves_nothing(stack: Stack) -> None:
    second = Stack()
    with running(second):
        second.wait_until_ready()
        assert len(second.pids()) == 4
        assert second.ready_after_s < QUICK_S * busyness()
        assert second.stop(signal.SIGINT) == 0
        assert second.pids() == []
    assert "Traceback" not in second.said


def test_killed_launcher_leaves_no_orphan() -> None:
    stack = Stack()
    with running(stack):
        stack.wait_until_ready()
        stack.stop(signal.SIGKILL)
        stack.check_nothing_is_left()


@needs_curl
def test_api_keys_leave_a_place_for_one_in_what_is_printed(tmp_path: Path) -> None:
    store = Store(tmp_path / "accounts.sqlite")
    key = KeyTable(store).create("tester")
    store.close()
    stack = Stack("--no-webui", environment={ACCOUNTS: str(store.file)})
    with running(stack):
        stack.wait_for(r"^Ctrl-C stops everything")
        text = stack.welcome
        curl = next(line for line in stack.lines if line.startswith("curl "))
        command = curl.replace("YOUR-KEY", key) + " --fail-with-body"
        done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout
    assert "serves novice" in text
    assert "api_key='YOUR-KEY'" in text


def test_bad_model_is_told_in_its_own_words() -> None:
    stack = Stack("--model", "/no/such/folder", "--no-webui")
    with running(stack):
        status = stack.process.wait(60)
        stack.check_nothing_is_left()
    assert status == 1
    assert "worker ended with status 2 before it was ready" in stack.said
    assert "/no/such/folder" in stack.said
    assert "Traceback" not in stack.said


def test_port_in_use_is_told_before_anything_starts() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = str(server.getsockname()[1])
        stack = Stack("--webui-port", port)
        with running(stack):
            assert stack.process.wait(30) == 2
    (line,) = stack.lines
    assert f"port {port} on 127.0.0.1" in line
    assert "--webui-port" in line


def test_worker_keeps_trying_until_its_controller_is_there() -> None:
    ports = free_ports(["127.0.0.1"] * 2)
    url = f"http://127.0.0.1:{ports[0]}"
    token = "an end-to-end token"
    python = (sys.executable, "-m")
    worker = Program(
        (*python, "worker", "--model", "novice", "--port", str(ports[1]), "--controller-url", url),
        {"CLOISTER_WORKER_JOIN_TOKEN": token},
    )
    with running(worker):
        while not _is_ready(f"http://127.0.0.1:{ports[1]}"):
            assert worker.process.poll() is None, worker.said
            time.sleep(0.1)
        controller = Program(
            (*python, "controller", "--port", str(ports[0])),
            {"CLOISTER_CONTROLLER_JOIN_TOKEN": token},
        )
        with running(controller):
            deadline = time.monotonic() + 60
            while not _is_ready(url):
                assert time.monotonic() < deadline, worker.said + controller.said
                time.sleep(0.1)
    assert "Traceback" not in worker.said + controller.said


def _is_ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/ready", timeout=5).status_code == 200
    except httpx.TransportError:
        return False
