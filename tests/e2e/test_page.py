"""The page's journeys on the real stack, and what it shows when the worker dies."""

import asyncio
import os
import signal
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from playwright.async_api import expect

from tests.e2e.stack import Stack
from tests.webui.conftest import blank, browser, laptop, tab
from tests.webui.tab import Tab
from tests.webui.test_page import (
    STORY,
    test_a_phone_shows_it_without_scrolling_sideways,
    test_after_a_stop_the_next_question_is_answered,
    test_an_answer_grows_while_it_comes,
    test_each_answer_tells_tokens_and_speed,
    test_retry_answers_the_same_question_again,
    test_stop_ends_the_answer_and_keeps_its_text,
    test_the_browser_asks_no_other_host,
)

__all__ = [
    "blank",
    "browser",
    "laptop",
    "tab",
    "test_a_phone_shows_it_without_scrolling_sideways",
    "test_after_a_stop_the_next_question_is_answered",
    "test_an_answer_grows_while_it_comes",
    "test_each_answer_tells_tokens_and_speed",
    "test_retry_answers_the_same_question_again",
    "test_stop_ends_the_answer_and_keeps_its_text",
    "test_the_browser_asks_no_other_host",
]

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest.fixture(scope="session")
def page_url(stack: Stack) -> str:
    return stack.page_url


@pytest.fixture
def speech() -> Callable[..., None]:
    """The real model says what it says."""

    def speak(**how: Any) -> None:
        del how

    return speak


async def test_worker_that_dies_is_told_and_retry_works(tab: Tab, stack: Stack) -> None:
    worker = stack.pid_of("worker")
    os.kill(worker, signal.SIGSTOP)  # so that no answer is complete before it dies
    await tab.send(STORY)
    os.kill(worker, signal.SIGKILL)
    await tab.idle()
    await expect(tab.failure).to_be_visible()
    stack.wait_for(r"worker was killed by SIGKILL; starting it again")
    await until_ready(stack)
    await tab.retry()
    await expect(tab.numbers).to_contain_text("tokens/s")


async def until_ready(stack: Stack) -> None:
    async with asyncio.timeout(60), httpx.AsyncClient(trust_env=False) as client:
        while not (await client.get(f"{stack.controller_url}/ready")).is_success:
            await asyncio.sleep(0.1)
