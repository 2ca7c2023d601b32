"""The page at home, in an instance of its own: the worker's enclave never holds Gradio."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from homes import image
from homes.parts import MOST_FILES
from tests.e2e.stack import Program, running
from tests.homes.conftest import (
    ROOT,
    MakeJail,
    MakeSettings,
    occlum_home_of,
    old_libraries,
)
from tests.homes.jail import Home
from tests.homes.page import chat, files_of
from tests.homes.test_jail import PATIENCE_S
from tests.webui.fake_openai import FakeOpenAI, serve

pytestmark = pytest.mark.timeout(600)

MakePage = Callable[[str], Home]


@pytest.fixture
def page_home(
    page_image: Path, make_settings: MakeSettings, monkeypatch: pytest.MonkeyPatch
) -> MakePage:
    """The page's home, in front of an address."""

    def make(url: str) -> Home:
        settings = make_settings({"webui": {"port": 0, "api_url": url}})
        return occlum_home_of(page_image, settings, monkeypatch, "webui")

    return make


def test_images_are_apart(page_image: Path, worker_image: Path) -> None:
    assert image.measure(page_image).files <= MOST_FILES
    assert not (page_image / "site/torch").exists()
    assert not (page_image / "site/worker").exists()
    assert not (worker_image / "site/gradio").exists()
    assert not (worker_image / "site/webui").exists()


def test_page_chats_at_home(page_home: MakePage, jail: MakeJail) -> None:
    fake = FakeOpenAI()
    with serve(fake.app(), 0) as url:
        home = page_home(f"{url}/v1")
        with running(jail(home).start(*home.argv)) as program, looking(program) as client:
            named = files_of(client)
            assert len(named) > 10
            assert {client.get(name).status_code for name in named} == {200}
            assert "Good day to you." in chat(client, "Hello")
    assert fake.bodies[0]["messages"][-1]["content"] == "Hello"


def test_page_chats_on_the_c_library_of_occlum(
    make_settings: MakeSettings, monkeypatch: pytest.MonkeyPatch, jail: MakeJail
) -> None:
    libraries = old_libraries("webui")
    with serve(FakeOpenAI().app(), 0) as url:
        settings = make_settings({"webui": {"port": 0, "api_url": f"{url}/v1"}})
        folder = ROOT / "occlum/image/webui"
        home = occlum_home_of(folder, settings, monkeypatch, "webui", libraries)
        with running(jail(home).start(*home.argv)) as program, looking(program) as client:
            assert {client.get(name).status_code for name in files_of(client)} == {200}
            assert "Good day to you." in chat(client, "Hello")


def test_page_does_not_start_when_a_file_is_left_out(page_home: MakePage, jail: MakeJail) -> None:
    home = page_home("http://127.0.0.1:1/v1")
    del home.files["/opt/site/webui/talk.py"]
    with running(jail(home).start(*home.argv)) as program:
        program.wait_for("No module named 'webui.talk'", PATIENCE_S)
        assert program.process.wait(PATIENCE_S) == 1


@contextmanager
def looking(program: Program) -> Iterator[httpx.Client]:
    """A browser of the page that `program` is, once it serves."""
    url = program.wait_for(r"serving at (http://\S+)", PATIENCE_S)[1]
    with httpx.Client(base_url=url, timeout=PATIENCE_S, trust_env=False) as client:
        yield client
