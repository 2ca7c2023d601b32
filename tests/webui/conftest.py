"""A page in front of a fake OpenAI server, and a browser.

To run the journeys of `test_page.py` against a real stack, import its tests into a module of your
own and give other fixtures `page_url` (the page's address) and `speech` (which may do nothing).
"""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
from playwright.async_api import Browser, BrowserContext, async_playwright, expect

from tests.webui.fake_openai import FakeOpenAI, Script, serve
from tests.webui.tab import Tab

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
START_S = 60
ROOT = Path(__file__).parent.parent.parent

expect.set_options(timeout=20_000)


@pytest.fixture(scope="session")
def api_port() -> int:
    """Where the page looks for its API; `fake` serves there while a test runs."""
    return free_port()


@pytest.fixture(scope="session")
def page_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Home, temporary and working folder of the page's process."""
    return tmp_path_factory.mktemp("page")


@pytest.fixture(scope="session")
def page_log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the page's process writes to its outputs."""
    return tmp_path_factory.mktemp("log") / "page.log"


@pytest.fixture(scope="session")
def page_url(api_port: int, page_home: Path, page_log: Path) -> Iterator[str]:
    """The page, as its command starts it."""
    port = free_port()
    process = start_page(port, api_port, page_home, page_log)
    try:
        yield f"http://127.0.0.1:{port}/"
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=20) == 0


@pytest.fixture
def fake(api_port: int) -> Iterator[FakeOpenAI]:
    """A fresh fake server, with no memory of other tests."""
    fake = FakeOpenAI()
    with serve(fake.app(), api_port) as url:
        fake.url = f"{url}/v1"
        yield fake


@pytest.fixture
def speech(fake: FakeOpenAI) -> Callable[..., None]:
    """Sets how the next answers go."""

    def speak(**how: Any) -> None:
        fake.script = Script(**how)

    return speak


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("no Chromium is installed (Debian: apt install chromium)")
    async with async_playwright() as playwright:
        chromium = await playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        yield chromium
        await chromium.close()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def laptop(browser: Browser) -> BrowserContext:
    """A browser of a small laptop's size, which keeps the page's files from test to test."""
    return await browser.new_context(viewport={"width": 1280, "height": 800})


@pytest_asyncio.fixture(loop_scope="session")
async def blank(laptop: BrowserContext) -> AsyncIterator[Tab]:
    """An empty tab, which is a user of its own to the page."""
    tab = Tab(await laptop.new_page())
    yield tab
    await tab.page.close()
    assert tab.complaints == []


@pytest_asyncio.fixture(loop_scope="session")
async def tab(blank: Tab, page_url: str, speech: Any) -> Tab:
    """A tab that shows the page."""
    await blank.open(page_url)
    return blank


def start_page(port: int, api_port: int, home: Path, log: Path) -> "subprocess.Popen[bytes]":
    """Start `python -m webui` and wait until it is healthy."""
    folders = {"HOME": str(home), "TMPDIR": str(home), "GRADIO_TEMP_DIR": str(home / "gradio")}
    command = (sys.executable, "-m", "webui", "--port", str(port))
    with log.open("wb") as output:
        process = subprocess.Popen(
            (*command, "--api-url", f"http://127.0.0.1:{api_port}/v1"),
            cwd=home,
            env={**os.environ, **folders, "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1"},
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    with httpx.Client(trust_env=False) as client:
        wait_until_healthy(client, f"http://127.0.0.1:{port}/health", process)
    return process


def wait_until_healthy(client: httpx.Client, url: str, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        assert process.poll() is None, f"the page ended with status {process.poll()}"
        try:
            if client.get(url).is_success:
                return
        except httpx.HTTPError:
            time.sleep(0.1)
    process.kill()
    raise AssertionError(f"the page did not start within {START_S} s")


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port
