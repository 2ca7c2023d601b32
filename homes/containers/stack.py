"""The stack of docker/compose.yaml: its images, its services, and what is asked of them."""

import json
import secrets
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from cloister.sse import Parser
from homes.containers.words import Failed, run

TIMEOUT_S = 300.0
TOOLS = "cc gcc g++ clang make cmake git"


@dataclass(frozen=True, slots=True)
class Stack:
    """A checkout's stack, in the engine that `environment` names."""

    root: Path
    environment: Mapping[str, str] = field(repr=False)

    @classmethod
    def of(cls, root: Path, environment: Mapping[str, str]) -> "Stack":
        """With fresh secrets, and free ports for controller and page."""
        told = {
            "JOIN_TOKEN": secrets.token_hex(16),
            "GPU_TOKEN": secrets.token_hex(16),
            "COMPOSE_PROFILES": "gpu",
            "PORT": str(free_port()),
            "WEBUI_PORT": str(free_port()),
        }
        return cls(root, {**environment, **told})

    @property
    def api(self) -> str:
        return f"http://127.0.0.1:{self.environment['PORT']}/v1"

    @property
    def page(self) -> str:
        return f"http://127.0.0.1:{self.environment['WEBUI_PORT']}/"

    def docker(self, *words: str) -> str:
        return run("docker", *words, environment=self.environment, folder=self.root)

    def compose(self, *words: str) -> str:
        return self.docker("compose", "--file", "docker/compose.yaml", *words)

    def build(self, part: str, arguments: Mapping[str, str]) -> None:
        """Build one target of the Dockerfile, as it is."""
        given = [f"--build-arg={name}={value}" for name, value in arguments.items()]
        place = ["--network=host", "--file=docker/Dockerfile", f"--target={part}"]
        self.docker("build", *place, *given, f"--tag=cloister-{part}", ".")

    def size_mb(self, image: str) -> int:
        return int(self.docker("image", "inspect", "--format={{.Size}}", image)) // 10**6

    def faults(self, part: str) -> list[str]:
        """What an image has that it should not: root as its user, build tools, places to write."""
        probe = (
            "test $(id -u) = 0 && echo root; "
            f"for tool in {TOOLS}; do command -v $tool; done; "
            "for place in /app /packages /usr /etc; do test -w $place && echo writes $place; done; "
            "true"
        )
        shell = [
            "run",
            "--rm",
            "--network=none",
            "--entrypoint=sh",
            f"cloister-{part}",
            "-c",
            probe,
        ]
        return self.docker(*shell).splitlines()

    def refusal_without(self, file: str) -> str:
        """What the worker's image says when one of its files is not there; "" if it starts."""
        hide = ["--network=none", f"--volume=/dev/null:{file}:ro"]
        start = ["--entrypoint=timeout", "cloister-worker", "100", "python", "-m", "worker"]
        try:
            self.docker("run", "--rm", *hide, *start)
        except Failed as failed:
            return str(failed)
        return ""

    def states(self) -> dict[str, dict[str, Any]]:
        """What Docker knows of each service's container, by the service's name."""
        names = self.compose("ps", "--all", "--quiet").split()
        told = json.loads(self.docker("inspect", *names))
        label = "com.docker.compose.service"
        return {one["Config"]["Labels"][label]: one["State"] for one in told}


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@dataclass(slots=True)
class Answer:
    """A streamed chat as it came, and when."""

    model: str
    execution: str = ""
    pieces: list[tuple[float, str]] = field(default_factory=list, repr=False)
    finish: str = ""
    tokens: int = 0
    begun: threading.Event = field(default_factory=threading.Event, repr=False)

    @property
    def text(self) -> str:
        return "".join(text for _, text in self.pieces)

    def pieces_after(self, at_s: float) -> int:
        return sum(came_s > at_s for came_s, _ in self.pieces)


def chat(api: str, answer: Answer, content: str, **options: Any) -> Answer:
    """Hold a chat, streamed; `answer` grows as it comes. Raises httpx's errors."""
    body = {
        "model": answer.model,
        "messages": [{"role": "user", "content": content}],
        "stream": True,
        "stream_options": {"include_usage": True},
        **options,
    }
    with httpx.stream("POST", f"{api}/chat/completions", json=body, timeout=TIMEOUT_S) as response:
        if response.is_error:
            response.read()
        response.raise_for_status()
        answer.execution = response.headers["x-cloister-execution"]
        for chunk in _chunks(response.iter_bytes()):
            take(answer, chunk)
    return answer


def _chunks(pieces: Iterator[bytes]) -> Iterator[dict[str, Any]]:
    parser = Parser()
    for piece in pieces:
        for event in parser.feed(piece):
            if event.done:
                return
            yield json.loads(event.data)


def take(answer: Answer, chunk: dict[str, Any]) -> None:
    """Add a chunk of a stream to the answer."""
    for choice in chunk["choices"]:
        if text := choice["delta"].get("content"):
            answer.pieces.append((time.monotonic(), text))
            answer.begun.set()
        answer.finish = choice["finish_reason"] or answer.finish
    if chunk.get("usage"):
        answer.tokens = chunk["usage"]["completion_tokens"]
