"""The client against a server that behaves, and one that does not."""

import asyncio
from contextlib import aclosing
from typing import Any

import pytest

from cloister.client import (
    Chat,
    Client,
    Delta,
    Interrupted,
    Message,
    Options,
    Summary,
    Unreachable,
    Usage,
    base_url,
)
from cloister.errors import (
    BadRequest,
    BadSettings,
    Busy,
    CloisterError,
    ContextExceeded,
    InternalError,
    NotFound,
    Unauthorized,
    Unavailable,
)
from cloister.ports import free_ports
from tests.webui.fake_openai import FakeOpenAI, Script, error

HELLO = Chat("novice", (Message("user", "Hello"),))
INVALID = "invalid_request_error"


async def events(fake: FakeOpenAI, chat: Chat = HELLO) -> list[Delta | Summary]:
    async with Client(fake.url) as client, aclosing(client.chat(chat)) as stream:
        return [event async for event in stream]


async def test_deltas_come_in_order_and_a_summary_ends_them(fake: FakeOpenAI) -> None:
    *deltas, summary = await events(fake)
    assert [delta.text for delta in deltas if isinstance(delta, Delta)] == list(fake.script.pieces)
    assert isinstance(summary, Summary)
    assert (summary.finish, summary.usage) == ("stop", Usage(7, 4))


async def test_a_delta_is_there_before_the_next_is_made(fake: FakeOpenAI) -> None:
    fake.script = Script(("one", "two"), pause_s=60)
    async with Client(fake.url) as client, aclosing(client.chat(HELLO)) as stream:
        event = await anext(stream)
    assert isinstance(event, Delta)
    assert event.text == "one"


async def test_time_to_first_text_leaves_out_what_follows(fake: FakeOpenAI) -> None:
    fake.script = Script(("one ", "two ", "three"), pause_s=0.1)
    summary = (await events(fake))[-1]
    assert isinstance(summary, Summary)
    assert summary.first_s is not None
    assert summary.total_s - summary.first_s >= 0.2
    assert summary.tokens_per_s is not None
    assert summary.tokens_per_s < 10


async def test_a_server_without_usage_has_no_speed(fake: FakeOpenAI) -> None:
    fake.script = Script(usage=False)
    summary = (await events(fake))[-1]
    assert isinstance(summary, Summary)
    assert (summary.usage, summary.tokens_per_s) == (None, None)


async def test_only_chosen_options_are_sent(fake: FakeOpenAI) -> None:
    await events(fake, Chat("novice", HELLO.messages, Options(temperature=0, seed=3)))
    assert fake.bodies == [
        {
            "model": "novice",
            "messages": [{"role": "user", "content": "Hello"}],
            "stream": True,
            "stream_options": {"include_usage": True},
            "temperature": 0,
            "seed": 3,
        }
    ]


async def test_closing_the_stream_closes_the_connection(fake: FakeOpenAI) -> None:
    fake.script = Script(("la ",), repeat=True, pause_s=0.01)
    async with Client(fake.url) as client:
        async with aclosing(client.chat(HELLO)) as stream:
            await anext(stream)
        assert await asyncio.to_thread(fake.left.wait, 10)


async def test_cancelling_before_the_first_word_closes_the_connection(fake: FakeOpenAI) -> None:
    fake.script = Script(first_pause_s=60)
    task = asyncio.create_task(events(fake))
    assert await asyncio.to_thread(fake.asked.wait, 10)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await asyncio.to_thread(fake.left.wait, 10)


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (400, error("top_p is 3", INVALID), BadRequest),
        (400, error("too long", INVALID, "context_length_exceeded"), ContextExceeded),
        (401, error("no such key", "authentication_error"), Unauthorized),
        (404, error("no such model", INVALID), NotFound),
        (422, {"detail": [{"msg": "not in OpenAI's shape"}]}, BadRequest),
        (429, error("full", "rate_limit_error"), Busy),
        (500, error("oh"), InternalError),
        (503, error("no worker"), Unavailable),
    ],
)
async def test_a_status_becomes_the_error_it_was(
    fake: FakeOpenAI, status: int, body: dict[str, Any], kind: type[CloisterError]
) -> None:
    fake.script = Script(refusal=(status, body, {"retry-after": "30"}))
    with pytest.raises(CloisterError) as caught:
        await events(fake)
    assert type(caught.value) is kind
    assert caught.value.message == body.get("error", {}).get(
        "message", "the server answered with status 422"
    )
    assert getattr(caught.value, "retry_after_s", 30) == 30


async def test_an_error_event_is_raised_after_the_text_before_it(fake: FakeOpenAI) -> None:
    fake.script = Script(("one",), failure=error("the worker ended", code="unavailable"))
    async with Client(fake.url) as client, aclosing(client.chat(HELLO)) as stream:
        event = await anext(stream)
        assert isinstance(event, Delta)
        assert event.text == "one"
        with pytest.raises(Unavailable, match="the worker ended"):
            await anext(stream)


async def test_a_stream_without_an_end_is_no_answer(fake: FakeOpenAI) -> None:
    fake.script = Script(("one",), broken=True)
    with pytest.raises(Interrupted):
        await events(fake)


async def test_nothing_listening_is_told_with_the_address() -> None:
    [port] = free_ports(["127.0.0.1"])
    async with Client(f"http://127.0.0.1:{port}") as client:
        with pytest.raises(Unreachable, match=f"nothing answers at http://127.0.0.1:{port}/v1"):
            await client.models()
        with pytest.raises(Unreachable):
            await anext(client.chat(HELLO))


async def test_models_come_in_the_servers_order_and_the_key_is_sent(fake: FakeOpenAI) -> None:
    async with Client(fake.url, "sesame") as client:
        assert await client.models() == ("novice", "sage")
    assert fake.keys == ["Bearer sesame"]


async def test_where_models_run_is_told_if_the_server_tells(fake: FakeOpenAI) -> None:
    async with Client(fake.url) as client:
        assert await client.offers() == {"novice": "", "sage": ""}
        fake.execution = "split-blind"
        assert await client.offers() == {"novice": "split-blind", "sage": "split-blind"}


async def test_an_address_that_is_no_openai_server_says_so(fake: FakeOpenAI) -> None:
    async with Client(fake.url + "/nowhere") as client:
        with pytest.raises(NotFound):
            await client.models()


async def test_half_a_surrogate_pair_can_be_sent(fake: FakeOpenAI) -> None:
    await events(fake, Chat("novice", (Message("user", "\ud83d"),)))
    assert fake.bodies[0]["messages"][0]["content"] == "\ud83d"


def test_an_address_without_a_path_means_v1() -> None:
    assert base_url("http://localhost:8000/") == "http://localhost:8000/v1"
    assert base_url("https://host/openai/v1/") == "https://host/openai/v1"


@pytest.mark.parametrize("url", ["localhost:8000", "ftp://host", "http://", "http://host:99999"])
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(BadSettings, match="is no address like"):
        base_url(url)


def test_contents_stay_out_of_repr() -> None:
    assert "secret" not in repr((Message("user", "secret"), Delta("secret", 0.1)))
