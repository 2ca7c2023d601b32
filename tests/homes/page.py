"""The page as a browser sees it, without a browser: its files, and Gradio's queue of events."""

import json
import re
from collections.abc import Iterator
from typing import Any

import httpx

NAMED = re.compile(r'"\./([\w.-]+\.(?:js|css))"')


def files_of(client: httpx.Client) -> list[str]:
    """The page's own scripts and styles: those that its HTML names, and those that they name."""
    page = client.get("/")
    assert page.status_code == 200
    first = re.findall(r'(?:src|href)="(?:\./)?/?(assets/[^"]+)"', page.text)
    then = [name for one in first for name in re.findall(NAMED, client.get(one).text)]
    return [*first, *(f"assets/{name}" for name in dict.fromkeys(then))]


def chat(client: httpx.Client, text: str) -> str:
    """Submit a message; all that the page sends back, as text."""
    config = client.get("/config").json()
    parts = {part["id"]: part for part in config["components"]}
    (box,) = (one for one, part in parts.items() if part["props"].get("elem_id") == "input")
    (event,) = (one for one in config["dependencies"] if [box, "submit"] in one["targets"])
    values = [parts[one]["props"].get("value") for one in event["inputs"]]
    values[event["inputs"].index(box)] = text
    joined = {"data": values, "fn_index": event["id"], "session_hash": "jail"}
    assert client.post("/gradio_api/queue/join", json=joined).status_code == 200
    return json.dumps(list(_news(client)))


def _news(client: httpx.Client) -> Iterator[Any]:
    with client.stream("GET", "/gradio_api/queue/data", params={"session_hash": "jail"}) as stream:
        for line in stream.iter_lines():
            if line.startswith("data: "):
                news = json.loads(line.removeprefix("data: "))
                yield news
                if news["msg"] == "process_completed":
                    return
