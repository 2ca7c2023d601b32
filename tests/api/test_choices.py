"""Several choices: each as if it were asked for alone, in one answer."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from cloister.errors import Busy, CloisterError, InternalError, Unavailable
from tests.api.conftest import chat, client
from tests.api.living import RecordingEngine, living
from tests.api.test_chat import CHAT, COMPLETIONS, events
from tests.api.test_disconnect import Client, Waiting
from tests.fakes.engine import FakeEngine, tokens
from worker.api.app import create_app
from worker.api.fan_out import seed_of
from worker.api.served import Served
from worker.engine.limits import Limits
from worker.engine.request import Listener, Request

ASKED: dict[str, Any] = {"model": "tiny", "max_tokens": 12, "seed": 5, "temperature": 1.5}


@pytest.fixture
async def alive(served: Served) -> AsyncIterator[tuple[httpx.AsyncClient, RecordingEngine]]:
    with living(served) as (app, engine):
        async with client(app) as http:
            yield http, engine


Alive = tuple[httpx.AsyncClient, RecordingEngine]


async def answer(http: httpx.AsyncClient, path: str, body: dict[str, Any]) -> dict[str, Any]:
    found = await http.post(path, json=body)
    assert found.status_code == 200, found.text
    return dict(found.json())


def texts(answer: dict[str, Any]) -> list[str]:
    assert [choice["index"] for choice in answer["choices"]] == list(range(len(answer["choices"])))
    return [
        choice["text"] if "text" in choice else choice["message"]["content"]
        for choice in answer["choices"]
    ]


async def test_choices_equal_single_requests_with_their_seeds(alive: Alive) -> None:
    http, _ = alive
    asked = chat(max_tokens=12, temperature=1.5)
    together = texts(await answer(http, CHAT, {**asked, "seed": 5, "n": 4}))
    alone = [
        texts(await answer(http, CHAT, {**asked, "seed": seed_of(5, place)}))[0]
        for place in range(4)
    ]
    assert together == alone
    assert len(set(together)) == 4
    assert together[0] == texts(await answer(http, CHAT, {**asked, "seed": 5}))[0]
    assert together == texts(await answer(http, CHAT, {**asked, "seed": 5, "n": 4}))


def test_derived_seeds_differ_and_stay() -> None:
    seeds = {seed_of(seed, place) for seed in range(-50, 50) for place in range(16)}
    assert len(seeds) == 1600
    assert (seed_of(5, 0), seed_of(5, 1)) == (5, 1565218376387676045)


async def test_prompt_is_read_once_and_counted_once(alive: Alive) -> None:
    http, engine = alive
    body = chat("x" * 60, max_tokens=3, n=3, seed=1)
    usage = (await answer(http, CHAT, body))["usage"]
    prompt = len(engine.requests[0].prompt)
    read = [part for step in engine.model.steps for part in step.segments if len(part.tokens) > 1]
    assert [part.start for part in read] == [0, prompt // 4 * 4, prompt // 4 * 4]
    assert usage == {
        "prompt_tokens": prompt,
        "completion_tokens": 9,
        "total_tokens": prompt + 9,
        "prompt_tokens_details": {"cached_tokens": 0},
    }


async def test_later_choice_that_speaks_first_waits_for_the_roles_before_it(served: Served) -> None:
    engine = Waiting()
    app = create_app(served, engine)
    one = Client(app, chat(stream=True, n=3))
    assert await asyncio.to_thread(engine.came.wait, 5)
    await asyncio.sleep(0)
    engine.push(*tokens("c", "C"), place=2)
    engine.push(*tokens("", "A"), place=0)
    engine.push(*tokens(""), place=1)
    await asyncio.wait_for(one.task, 5)
    found = events(b"".join(part.get("body", b"") for part in one.sent))
    choices = [event["choices"][0] for event in found]
    assert [choice["index"] for choice in choices[:3]] == [0, 1, 2]
    roles = [choice["index"] for choice in choices if "role" in choice["delta"]]
    ends = [choice["index"] for choice in choices if choice["finish_reason"]]
    assert (roles, ends) == ([0, 1, 2], [2, 0, 1])
    joined = ["", "", ""]
    for choice in choices:
        joined[choice["index"]] += choice["delta"].get("content", "")
    assert joined == ["A", "", "cC"]


@pytest.mark.parametrize("error", [Busy("full", retry_after_s=3), Unavailable("draining")])
async def test_refusal_of_the_third_leaves_none_running(
    error: CloisterError, served: Served
) -> None:
    class Small(FakeEngine):
        def submit(self, request: Request, listener: Listener) -> None:
            if len(self.requests) == 2:
                raise error
            super().submit(request, listener)

    engine = Small(script=None)
    async with client(create_app(served, engine)) as http:
        refused = await http.post(CHAT, json=chat(n=3, stream=True))
    assert refused.status_code == error.status
    assert engine.cancelled == [request.id for request in engine.requests]
    assert len(set(engine.cancelled)) == 2


async def test_queue_counts_sequences(served: Served) -> None:
    with living(served, Limits(sequences=1, queued_requests=4)) as (app, engine):
        async with client(app) as http:
            refused = await http.post(CHAT, json=chat(n=16, max_tokens=100))
        assert refused.status_code == 429
        assert await asyncio.to_thread(idle, engine)
        engine.check()


def idle(engine: RecordingEngine) -> bool:
    """Is all work gone, soon?"""
    for _ in range(500):
        load = engine.load()
        if load.queued_requests + load.running_requests + load.pages_used == 0:
            return True
        time.sleep(0.01)
    return False


@pytest.mark.parametrize("stream", [True, False])
async def test_leaving_cancels_all_choices(stream: bool, served: Served) -> None:
    engine = Waiting()
    one = Client(create_app(served, engine), chat(stream=stream, n=3))
    assert await asyncio.to_thread(engine.came.wait, 5)
    one.left.set()
    await asyncio.wait_for(one.task, 5)
    assert len(engine.requests) == 3
    assert engine.cancelled == [request.id for request in engine.requests]


async def test_leaving_does_not_cancel_what_has_finished(served: Served) -> None:
    engine = Waiting()
    one = Client(create_app(served, engine), chat(stream=True, n=3))
    assert await asyncio.to_thread(engine.came.wait, 5)
    await asyncio.sleep(0)
    engine.push(*tokens("done"), place=1)
    await one.wrote.wait()
    one.left.set()
    await asyncio.wait_for(one.task, 5)
    assert engine.cancelled == [engine.requests[place].id for place in (0, 2)]


async def test_failure_of_one_choice_ends_all(served: Served) -> None:
    engine = Waiting()
    one = Client(create_app(served, engine), chat(n=2))
    assert await asyncio.to_thread(engine.came.wait, 5)
    await asyncio.sleep(0)
    engine.push(InternalError("the engine failed"), place=1)
    await asyncio.wait_for(one.task, 5)
    assert one.sent[0]["status"] == 500
    assert engine.requests[0].id in engine.cancelled


async def test_prompts_of_a_list_equal_each_alone(alive: Alive) -> None:
    http, engine = alive
    prompts = ["one", "another", "o"]
    body = {**ASKED, "n": 2}
    whole = await answer(http, COMPLETIONS, {**body, "prompt": prompts})
    alone = [await answer(http, COMPLETIONS, {**body, "prompt": prompt}) for prompt in prompts]
    assert texts(whole) == [text for one in alone for text in texts(one)]
    assert whole["usage"]["prompt_tokens"] == sum(map(len, prompts))
    ids = [list(request.prompt) for request in engine.requests[0:6:2]]
    assert texts(await answer(http, COMPLETIONS, {**body, "prompt": ids})) == texts(whole)
    streamed = ["" for _ in range(6)]
    found = await http.post(COMPLETIONS, json={**body, "prompt": prompts, "stream": True})
    for event in events(found.content):
        streamed[event["choices"][0]["index"]] += event["choices"][0]["text"]
    assert streamed == texts(whole)


async def test_equal_prompts_without_a_seed_are_drawn_anew(alive: Alive) -> None:
    http, _ = alive
    body = {"model": "tiny", "prompt": ["a"] * 4, "max_tokens": 12, "temperature": 2}
    assert len(set(texts(await answer(http, COMPLETIONS, body)))) == 4


async def test_best_of_tells_the_most_probable_and_counts_all(alive: Alive) -> None:
    http, _ = alive
    body = {**ASKED, "prompt": ["one", "another"], "logprobs": 0, "ignore_eos": True}
    every = await answer(http, COMPLETIONS, {**body, "n": 5})
    best = await answer(http, COMPLETIONS, {**body, "n": 2, "best_of": 5})
    means = [mean(choice["logprobs"]["token_logprobs"]) for choice in every["choices"]]
    expected = [
        texts(every)[place]
        for start in (0, 5)
        for place in sorted(range(start, start + 5), key=lambda place: -means[place])[:2]
    ]
    assert all(choice["finish_reason"] == "length" for choice in every["choices"])
    assert texts(best) == expected
    assert best["usage"]["completion_tokens"] == every["usage"]["completion_tokens"] == 10 * 12
    silent = await answer(
        http, COMPLETIONS, {**ASKED, "prompt": "one", "best_of": 5, "ignore_eos": True}
    )
    assert texts(silent) == expected[:1]
    assert silent["choices"][0]["logprobs"] is None


def mean(values: list[float]) -> float:
    return sum(values) / len(values)


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"n": 3, "best_of": 2}, "best_of"),
        ({"best_of": 2, "stream": True}, "best_of"),
        ({"best_of": 17}, "best_of"),
        ({"n": 16, "prompt": ["a"] * 9}, "prompt"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"logprobs": 6}, "logprobs"),
        ({"logprobs": True}, "logprobs"),
    ],
)
async def test_what_does_not_fit_together_is_refused(
    more: dict[str, Any], param: str, http: httpx.AsyncClient, engine: FakeEngine
) -> None:
    refused = await http.post(COMPLETIONS, json={"model": "tiny", "prompt": "hi", **more})
    assert refused.status_code == 400
    assert refused.json()["error"]["param"] == param
    assert engine.requests == []


async def test_fields_of_choosing_reach_the_engine(
    http: httpx.AsyncClient, engine: FakeEngine
) -> None:
    asked = chat(logit_bias={"7": -100, "9": 2.5}, min_tokens=2, ignore_eos=True)
    await http.post(CHAT, json={**asked, "stop_token_ids": [3], "max_tokens": 9})
    request = engine.requests[0]
    assert request.sampling.bias == ((7, -100.0), (9, 2.5))
    assert (request.min_tokens, request.stop_ids) == (2, frozenset([3]))
    await http.post(CHAT, json=chat(stop="x", include_stop_str_in_output=True))
    assert [request.keeps_stop for request in engine.requests] == [False, True]


async def test_salts_part_the_cache_within_a_tenant(alive: Alive) -> None:
    http, engine = alive
    for salt in (None, "a", "b", "a"):
        await http.post(CHAT, json=chat("x" * 40, max_tokens=1, cache_salt=salt))
    assert [request.salt for request in engine.requests] == ["", "\na", "\nb", "\na"]
    cached = [heard[0].cached for heard in engine.events.values()]  # type: ignore[union-attr]
    assert cached[:3] == [0, 0, 0]
    assert cached[3] > 0
