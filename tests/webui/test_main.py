"""`python -m webui` where it cannot start."""

import socket
import subprocess
import sys


def start(*flags: str) -> "subprocess.CompletedProcess[str]":
    command = (sys.executable, "-m", "webui", *flags)
    return subprocess.run(command, capture_output=True, text=True, timeout=30)


def test_a_port_in_use_is_one_clear_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = start("--port", str(port))
    assert done.returncode == 2
    assert done.stderr == (
        f"error: cannot listen on 127.0.0.1, port {port} (--port): Address already in use\n"
    )


def test_an_address_that_is_none_is_refused() -> None:
    done = start("--api-url", "localhost:8000")
    assert done.returncode == 2
    assert done.stderr == ("error: 'localhost:8000' is no address like http://127.0.0.1:8000/v1\n")
