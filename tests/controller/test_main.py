"""The controller as a process: how it starts, refuses to start, and stops."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from cloister.ports import free_ports
from controller.__main__ import main
from tests.controller.conftest import TOKEN, chat, join_at
from tests.controller.workers import DONE, event, stream, worker

VARIABLE = "CLOISTER_CONTROLLER_JOIN_TOKEN"
FILE = "CLOISTER_CONTROLLER_ACCOUNTS_FILE"


@contextmanager
def running(port: int, folder: Path) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "controller", "--port", str(port)],
        env={**os.environ, VARIABLE: TOKEN, FILE: str(folder / "accounts.sqlite")},
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def wait_until_up(url: str) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            httpx.get(f"{url}/health").raise_for_status()
        except httpx.TransportError:
            time.sleep(0.05)
        else:
            return
    raise AssertionError("the controller did not start")


def test_port_in_use_is_one_line_that_names_it(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with running(port, tmp_path) as process:
            _, said = process.communicate(timeout=30)
    assert process.returncode == 2
    (line,) = said.splitlines()
    assert "127.0.0.1" in line
    assert str(port) in line


def test_missing_token_says_how_to_make_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    assert main([]) == 2
    error = capsys.readouterr().err
    assert VARIABLE in error
    assert "openssl rand" in error


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_signal_stops_it_soon_even_with_open_streams(
    number: signal.Signals, tmp_path: Path
) -> None:
    (port,) = free_ports(["127.0.0.1"])
    url = f"http://127.0.0.1:{port}"
    with running(port, tmp_path) as process:
        wait_until_up(url)
        async with (
            httpx.AsyncClient(base_url=url, timeout=20) as http,
            worker(stream(event("a"), hang=True)) as fake,
        ):
            await join_at(http, fake.url)
            async with http.stream("POST", "/v1/chat/completions", json=chat()) as answer:
                pieces = answer.aiter_raw()
                assert await anext(pieces) == event("a")
                process.send_signal(number)
                began = time.monotonic()
                rest = b"".join([piece async for piece in pieces])
                assert b"worker_failed" in rest
                assert rest.endswith(DONE)
        assert process.wait(10) == 0
        assert time.monotonic() - began < 8
        assert process.stderr is not None
        assert "Traceback" not in process.stderr.read()
