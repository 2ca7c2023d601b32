"""What the page's server knows of a conversation once it has been answered: nothing."""

from collections import deque
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from types import FunctionType, ModuleType
from typing import Any

import httpx
import pytest
import pytest_asyncio
from starlette.routing import Mount

from cloister.client import Client
from tests.webui.fake_openai import FakeOpenAI, fake_openai, serve
from webui.answers import Answers
from webui.app import build
from webui.settings import PageSettings

pytestmark = pytest.mark.filterwarnings("ignore")  # Gradio's own, about its use of pandas

SESSION = "somebody"


@dataclass
class Server:
    """A page's server, from inside and outside."""

    url: str
    blocks: Any
    fake: FakeOpenAI

    def submit(self, text: str, history: Any, system: str) -> str:
        """Ask as a browser does; all that the server streams back."""
        with httpx.Client(base_url=self.url, trust_env=False, timeout=20) as browser:
            events = browser.get("/config").json()["dependencies"]
            submit = next(event for event in events if event["targets"][0][1] == "submit")
            values = [text, history, "novice", system, 0.3, 0, 1, 0, 0, 0, 0]
            body = {"data": values, "fn_index": submit["id"], "session_hash": SESSION}
            browser.post("/gradio_api/queue/join", json=body).raise_for_status()
            return browser.get("/gradio_api/queue/data", params={"session_hash": SESSION}).text


@pytest_asyncio.fixture
async def server() -> AsyncIterator[Server]:
    """Built inside a running loop, since Gradio would make one of its own and leave it open."""
    with fake_openai() as fake:
        client = Client(fake.url)
        app = build(PageSettings(), client, Answers(client))
        gradio = next(route.app for route in app.routes if isinstance(route, Mount))
        with serve(app, lifespan="on") as url:
            yield Server(url, gradio.get_blocks(), fake)


def texts_in(root: Any) -> Iterator[str]:
    """All strings that can be reached from `root`."""
    seen: set[int] = set()
    ahead = [root]
    while ahead:
        thing = ahead.pop()
        if id(thing) in seen or isinstance(thing, (type, ModuleType, FunctionType)):
            continue
        seen.add(id(thing))
        if isinstance(thing, str):
            yield thing
        elif isinstance(thing, Mapping):
            ahead += [*thing.keys(), *thing.values()]
        elif isinstance(thing, (list, tuple, set, deque)):
            ahead += thing
        else:
            ahead += vars(thing).values() if hasattr(thing, "__dict__") else []


def said(role: str, **block: Any) -> dict[str, Any]:
    return {"role": role, "metadata": None, "content": [block], "options": None}


def test_no_word_of_a_chat_is_kept(server: Server) -> None:
    history = [
        said("user", type="text", text="zebra past"),
        said("assistant", type="text", text="zebra answer"),
    ]
    streamed = server.submit("zebra question", history, "zebra system")
    assert all(word in streamed for word in ("Good", "day", "you."))  # it comes in pieces
    assert [message["content"] for message in server.fake.bodies[0]["messages"]] == [
        "zebra system",
        "zebra past",
        "zebra answer",
        "zebra question",
    ]
    known = set(texts_in(server.blocks))
    assert SESSION in known  # it does look into the sessions
    assert not [text for text in known if "zebra" in text or "Good day" in text]


def test_a_file_that_a_browser_names_is_not_fetched(server: Server) -> None:
    file = {"path": f"{server.fake.url}/models", "meta": {"_type": "gradio.FileData"}}
    server.submit("Look", [said("user", type="file", file=file)], "")
    assert len(server.fake.bodies) == len(server.fake.keys) == 1
