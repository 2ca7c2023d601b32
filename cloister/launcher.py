"""`cloister up`: controller, workers and page as child processes, started, watched and stopped.

The parts read the same settings file and environment as when started alone; what `up` decides
itself (addresses, the join token, the model when given) it hands over, and that wins. A part that
ends before it was ready stops everything; one that ends later is started again. Exit status: 0
after Ctrl-C or TERM, 1 when a part did not start, 2 for bad settings.
"""

import asyncio
import secrets
import signal
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import httpx
from pydantic import Field, SecretStr
from rich.console import Console
from rich.text import Text

from cloister.errors import BadSettings
from cloister.ports import free_ports, obstacle
from cloister.settings import CONFIG_VARIABLE, Settings, command, config_path
from cloister.supervisor import Log, Part, PartFailed, Stack
from cloister.welcome import ask, url, welcome

LOOPBACK = "127.0.0.1"


class UpSettings(Settings):
    """Start controller, workers and page together; Ctrl-C stops them all."""

    program: ClassVar[str] = "up"
    model: str | None = Field(
        None, description="model to serve: a name, folder or Hub id; the worker's own if left out"
    )
    host: str = Field(LOOPBACK, description="address of API and page; workers stay on loopback")
    port: int = Field(8000, ge=0, le=65535, description="port of the API, 0 for a free one")
    worker_port: int = Field(
        8001, ge=0, le=65535, description="port of the first worker, 0 for free ones"
    )
    webui_port: int = Field(7860, ge=0, le=65535, description="port of the page, 0 for a free one")
    workers: int = Field(1, ge=1, le=64, description="number of workers")
    webui: bool = Field(True, description="start the page")
    start_timeout_s: float = Field(
        600, gt=0, description="seconds until all parts must be ready, a download included"
    )
    join_token: SecretStr | None = Field(
        None, min_length=16, description="what a worker must know to join; made up if left out"
    )


@dataclass(frozen=True, slots=True)
class Place:
    """Where a part listens. `flag` is what changes it."""

    name: str
    host: str
    port: int
    flag: str

    @property
    def url(self) -> str:
        return url(self.host, self.port)


@command
def main(argv: Sequence[str]) -> int:
    """Run the stack until a signal stops it."""
    settings = UpSettings.load(argv)
    places = choose_places(settings)
    token = settings.join_token or SecretStr(secrets.token_urlsafe())
    parts = plan(settings, places, token, config_path(argv))
    return asyncio.run(run(parts, places, token, settings.start_timeout_s))


def choose_places(settings: UpSettings) -> tuple[Place, ...]:
    """Controller, workers, page. Raises `BadSettings` for a port that cannot be had."""
    asked = [Place("controller", settings.host, settings.port, "--port")]
    for number in range(settings.workers):
        name = "worker" if settings.workers == 1 else f"worker-{number + 1}"
        port = settings.worker_port and settings.worker_port + number
        asked.append(Place(name, LOOPBACK, port, "--worker-port"))
    if settings.webui:
        asked.append(Place("webui", settings.host, settings.webui_port, "--webui-port"))
    _check(asked)
    free = free_ports([place.host for place in asked])
    return tuple(
        Place(place.name, place.host, place.port or port, place.flag)
        for place, port in zip(asked, free, strict=True)
    )


def plan(
    settings: UpSettings, places: Sequence[Place], token: SecretStr, config: Path | None
) -> tuple[Part, ...]:
    """The programs to run. The join token travels by environment, which only our user can read."""
    shared = {CONFIG_VARIABLE: str(config.resolve())} if config else {}
    parts = [_part(place, settings, places[0].url, token) for place in places]
    return tuple(
        Part(part.name, part.command, part.ready_url, {**shared, **part.environment})
        for part in parts
    )


async def run(
    parts: Sequence[Part], places: Sequence[Place], token: SecretStr, timeout_s: float
) -> int:
    """Start, greet and keep the parts; stop them at INT, TERM or HUP. Returns the exit status."""
    task = asyncio.current_task()
    assert task is not None
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    log = log_to(Console(stderr=True), parts)
    stack = Stack(parts, log)
    try:
        log("up", f"starting {', '.join(part.name for part in parts)}")
        await stack.start(timeout_s)
        await _greet(places, token)
        await stack.keep()
    except asyncio.CancelledError:
        return 0
    except PartFailed as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    finally:
        await stack.stop()
    return 0


def log_to(console: Console, parts: Sequence[Part]) -> Log:
    """Lines with the part's name in front, coloured on a terminal, plain elsewhere."""
    colours = ("cyan", "green", "magenta", "yellow", "blue")
    colour = {part.name: colours[index % len(colours)] for index, part in enumerate(parts)}
    width = max(len(name) for name in ("up", *colour))

    def log(name: str, line: str) -> None:
        prefix = (f"{name:<{width}} | ", colour.get(name, "bold"))
        console.print(Text.assemble(prefix, line), soft_wrap=True)

    return log


async def _greet(places: Sequence[Place], token: SecretStr) -> None:
    controller, worker, *_ = places
    page_url = next((place.url for place in places if place.name == "webui"), None)
    try:
        async with httpx.AsyncClient(trust_env=False, timeout=30) as client:
            reception = await ask(controller.url, worker.url, token, client)
    except (httpx.HTTPError, LookupError) as error:
        raise PartFailed(f"{worker.name} does not say what it serves: {error!r}") from error
    sys.stdout.write(f"\n{welcome(f'{controller.url}/v1', page_url, reception)}\n\n")
    sys.stdout.flush()


def _check(asked: Sequence[Place]) -> None:
    counts = Counter(place.port for place in asked if place.port)
    for place in asked:
        if place.port > 65535:
            raise BadSettings(
                f"{place.name} would need port {place.port}, beyond 65535; lower {place.flag}"
            )
        if counts[place.port] > 1:
            raise BadSettings(
                f"port {place.port} is given twice; change {place.flag} for {place.name}"
            )
        reason = obstacle(place.host, place.port)
        if reason:
            raise BadSettings(
                f"{place.name} cannot have port {place.port} on {place.host}: {reason};"
                f" choose another with {place.flag}"
            )


def _part(place: Place, settings: UpSettings, controller_url: str, token: SecretStr) -> Part:
    module = place.name.partition("-")[0]
    address = ("--host", place.host, "--port", str(place.port))
    extra: dict[str, tuple[str, ...]] = {
        "controller": (),
        "worker": ("--controller-url", controller_url, *_model(settings)),
        "webui": ("--api-url", controller_url),
    }
    environment = {f"CLOISTER_{module.upper()}_JOIN_TOKEN": token.get_secret_value()}
    return Part(
        name=place.name,
        command=(sys.executable, "-P", "-m", module, *address, *extra[module]),
        ready_url=f"{place.url}/ready",
        environment={} if module == "webui" else environment,
    )


def _model(settings: UpSettings) -> tuple[str, ...]:
    return ("--model", settings.model) if settings.model else ()
