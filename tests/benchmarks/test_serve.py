"""The load generator against a server whose timing is known."""

import asyncio
import json
import random
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import httpx
import pytest

from benchmarks import serve
from benchmarks._load import Sample, ask, closed_loop
from benchmarks._plot import svg
from benchmarks._prompts import Length, chat, measure
from benchmarks._report import level, percentile
from cloister.client import Client, Options

GAP_S = 0.02


class Server(httpx.AsyncBaseTransport):
    """Answers in `texts` pieces, `GAP_S` apart, and counts two tokens a piece."""

    def __init__(self, texts: int = 4, broken: bool = False, failing: bool = False) -> None:
        self.texts = texts
        self.broken = broken
        self.failing = failing
        self.prompts: list[str] = []
        self.running = 0
        self.most = 0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/models"):
            return httpx.Response(200, json={"data": [{"id": "fake"}]})
        body = json.loads(request.content)
        self.prompts.append(body["messages"][0]["content"])
        return httpx.Response(200, content=self._stream(body))

    async def _stream(self, body: dict[str, Any]) -> AsyncIterator[bytes]:
        self.running += 1
        self.most = max(self.most, self.running)
        async for frame in self._frames(body):
            yield frame
        self.running -= 1
        yield b"data: [DONE]\n\n"

    async def _frames(self, body: dict[str, Any]) -> AsyncIterator[bytes]:
        yield self._frame({"role": "assistant", "content": ""})
        for _ in range(min(self.texts, body["max_tokens"])):
            await asyncio.sleep(GAP_S)
            yield self._frame({"content": "word "})
        if self.broken:
            return
        if self.failing:
            yield b'data: {"error": {"message": "no", "type": "server_error", "code": "x"}}\n\n'
            return
        yield self._frame({}, "stop")
        words = len(self.prompts[-1].split())
        usage = {"prompt_tokens": 10 + 2 * words, "completion_tokens": 2 * self.texts}
        yield b"data: " + json.dumps({"choices": [], "usage": usage}).encode() + b"\n\n"

    def _frame(self, delta: dict[str, str], finish: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        return b"data: " + json.dumps({"choices": [choice]}).encode() + b"\n\n"


def client(server: Server) -> Client:
    return Client("http://fake/v1", transport=server)


def chats(count: int) -> list[Any]:
    dice = random.Random(0)
    return [chat("fake", 5, Options(max_tokens=50), dice) for _ in range(count)]


async def test_times_are_those_of_the_server() -> None:
    async with client(Server(texts=4)) as http:
        row = level("1", [await ask(http, one, 10) for one in chats(5)])
    assert row.errors == 0
    assert row.output_tokens_mean == 8
    assert row.tokens_per_text == 2
    assert row.counted_by_server
    assert row.ttft_ms_p50 is not None
    assert row.itl_ms_p50 is not None
    assert row.tpot_ms_p50 is not None
    assert row.e2e_ms_p50 is not None
    assert GAP_S * 1000 <= row.ttft_ms_p50 < GAP_S * 3000
    assert GAP_S * 900 <= row.itl_ms_p50 < GAP_S * 3000
    assert GAP_S * 900 * 3 / 7 <= row.tpot_ms_p50 < GAP_S * 3000 * 3 / 7
    assert row.e2e_ms_p50 >= 4 * GAP_S * 1000


@pytest.mark.parametrize(
    ("server", "code"),
    [(Server(broken=True), "interrupted"), (Server(failing=True), "x")],
    ids=["broken-off", "error-event"],
)
async def test_error_inside_a_stream_counts_as_error(server: Server, code: str) -> None:
    async with client(server) as http:
        row = level("1", [await ask(http, one, 10) for one in chats(2)])
    assert row.error_codes == {code: 2}
    assert row.output_tokens_per_s == 0
    assert row.ttft_ms_p50 is None


async def test_request_that_takes_too_long_is_an_error() -> None:
    async with client(Server(texts=50)) as http:
        sample = await ask(http, chats(1)[0], timeout_s=0.05)
    assert sample.error == "timeout"


async def test_closed_loop_keeps_so_many_streams_and_loses_no_chat() -> None:
    server = Server(texts=2)
    async with client(server) as http:
        samples = await closed_loop(http, chats(7), 3, 10, lambda: None)
    assert len(samples) == 7
    assert server.most == 3


async def test_prompts_get_the_wanted_length() -> None:
    async with client(Server(texts=1)) as http:
        length = await measure(http, "fake", 10, random.Random(0))
    fixed = 10 + 2 * len(chats(1)[0].messages[0].content.split()) - 2 * 5
    assert length == Length(fixed=fixed, per_word=2)
    assert length.words(128) == round((128 - fixed) / 2)


def test_prompts_differ_from_their_first_word_on() -> None:
    first_words = {one.messages[0].content.split()[0] for one in chats(100)}
    assert len(first_words) == 100


@pytest.mark.parametrize(
    ("values", "percent", "wanted"),
    [([], 50, None), ([3], 99, 3), ([1, 2, 3, 4], 50, 2.5), ([4, 1, 3, 2, 5], 100, 5)],
)
def test_percentile(values: list[float], percent: float, wanted: float | None) -> None:
    assert percentile(values, percent) == wanted


def test_plot_is_svg_with_every_load() -> None:
    sample = Sample(0, 1, (0.1, 0.2), 3, 2, True, None)
    text = svg(serve.panels([level("1", [sample]), level("16", [sample])]), "a < b")
    ElementTree.fromstring(text)
    assert ">16</text>" in text


@pytest.mark.parametrize("load", [["--streams", "1,2"], ["--rate", "200"]])
def test_command_ends_with_a_json_line(
    load: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    server = Server(texts=1)
    monkeypatch.setattr(serve, "Client", lambda url, key: Client(url, key, transport=server))
    plot = tmp_path / "plot.svg"
    argv = ["http://fake/v1", *load, "--requests", "1", "--plot", str(plot)]
    assert serve.main(argv) == 0
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert result["model"] == "fake"
    assert [row["errors"] for row in result["levels"]] == [0] * len(result["levels"])
    assert len(set(server.prompts)) == len(server.prompts)
    assert plot.read_text().startswith("<svg")


def test_command_against_nothing_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert serve.main(["http://127.0.0.1:9/v1"]) == 2
    assert "nothing answers at http://127.0.0.1:9/v1" in capsys.readouterr().err
