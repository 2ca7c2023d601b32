"""Journeys through the page. They hold in front of any model: see conftest."""

import re
from collections.abc import Callable
from urllib.parse import urlsplit

import httpx
import pytest
from playwright.async_api import Browser, expect

from tests.webui.tab import Tab

pytestmark = pytest.mark.asyncio(loop_scope="session")

Speech = Callable[..., None]

STORY = "Tell me a short story about a fox"
TALL_PHONE = {"width": 390, "height": 844}


async def test_an_answer_grows_while_it_comes(tab: Tab, speech: Speech) -> None:
    speech(pieces=tuple(f"word{number} " for number in range(30)), pause_s=0.03)
    await tab.ramble()
    await tab.record()
    await tab.ask(STORY)
    seen = await tab.seen()
    assert len(seen) >= 2
    assert "tokens/s" not in seen[0]
    assert [len(text) for text in seen] == sorted(len(text) for text in seen)
    assert seen[1].startswith(seen[0])


async def test_each_answer_tells_tokens_and_speed(tab: Tab) -> None:
    await tab.ask("What is Cloister?")
    assert re.fullmatch(
        r"\d+ tokens · [\d.]+ tokens/s · \d+ prompt tokens? · first after [\d.]+ s.*",
        await tab.numbers.inner_text(),
    )


async def test_stop_ends_the_answer_and_keeps_its_text(tab: Tab, speech: Speech) -> None:
    speech(pieces=("la ",), repeat=True, pause_s=0.01)
    await tab.ramble()
    await tab.send_and_stop(STORY)
    await expect(tab.numbers).to_contain_text("stopped")
    assert len(await tab.answer.inner_text()) > len(await tab.numbers.inner_text())


async def test_after_a_stop_the_next_question_is_answered(tab: Tab, speech: Speech) -> None:
    speech(pieces=("la ",), repeat=True, pause_s=0.01)
    await tab.ramble()
    await tab.send_and_stop(STORY)
    speech()
    await tab.ask("What is 27 + 48?")
    await expect(tab.numbers).to_contain_text("tokens/s")
    await expect(tab.questions).to_have_count(2)


async def test_retry_answers_the_same_question_again(tab: Tab, speech: Speech) -> None:
    await tab.ask("Hello")
    speech(pieces=("Once ", "more."), pause_s=0.05)
    await tab.retry()
    await expect(tab.questions).to_have_text(["Hello"])
    await expect(tab.numbers).to_contain_text("token")


async def test_an_edited_question_is_answered_anew(tab: Tab) -> None:
    await tab.ask("What is 1 + 1?")
    await tab.edit_last("What is 2 + 2?")
    await expect(tab.questions).to_have_text(["What is 2 + 2?"])
    await expect(tab.numbers).to_be_visible()


async def test_clear_empties_the_chat_even_while_an_answer_comes(tab: Tab, speech: Speech) -> None:
    speech(pieces=("la ",), repeat=True, pause_s=0.01)
    await tab.ramble()
    await tab.send(STORY)
    await tab.watch(1)
    await tab.button("Clear").click()
    await tab.idle()
    await expect(tab.questions).to_have_count(0)
    await expect(tab.page.get_by_text("What would you like to know?")).to_be_visible()


async def test_an_example_is_a_question(tab: Tab) -> None:
    await tab.page.get_by_text("Spell garden").click()
    await tab.idle()
    await expect(tab.questions).to_have_text(["Spell garden"])
    await expect(tab.numbers).to_be_visible()


async def test_what_is_copied_is_the_answer_without_the_numbers(tab: Tab) -> None:
    origin = await tab.page.evaluate("location.origin")
    await tab.page.context.grant_permissions(["clipboard-read", "clipboard-write"], origin=origin)
    shown = await tab.ask("Hello")
    await tab.button("Copy message").last.click()
    copied = await tab.page.evaluate("navigator.clipboard.readText()")
    assert copied.strip()
    assert "note" not in copied
    assert "tokens" not in copied
    assert copied.split()[0] == shown.split()[0]


async def test_a_phone_shows_it_without_scrolling_sideways(
    browser: Browser, page_url: str, speech: Speech
) -> None:
    speech(pieces=("x" * 300, "\n\n```python\n", "y = 1 " * 60, "\n```\n"))
    context = await browser.new_context(viewport=TALL_PHONE, is_mobile=True, has_touch=True)
    tab = Tab(await context.new_page())
    await tab.open(page_url)
    await tab.ask("Hello")
    width = await tab.page.evaluate("document.documentElement.scrollWidth")
    chat = await tab.page.evaluate("document.querySelector('.bubble-wrap').scrollWidth")
    await context.close()
    assert width <= TALL_PHONE["width"]
    assert chat <= TALL_PHONE["width"]


async def test_the_browser_asks_no_other_host(tab: Tab, page_url: str) -> None:
    await tab.ask("What is Cloister?")
    hosts = {urlsplit(url).netloc for url in tab.requests if url.startswith("http")}
    assert hosts == {urlsplit(page_url).netloc}


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "docs"),
        ("GET", "openapi.json"),
        ("GET", "gradio_api/info"),
        ("GET", "gradio_api/openapi.json"),
        ("GET", "gradio_api/runs"),
        ("GET", "gradio_api/file=/etc/hostname"),
        ("GET", "monitoring"),
        ("POST", "gradio_api/upload"),
        ("POST", "gradio_api/call/submit"),
        ("POST", "gradio_api/run/predict"),
    ],
)
async def test_there_is_no_api(page_url: str, method: str, path: str) -> None:
    async with httpx.AsyncClient(trust_env=False) as client:
        response = await client.request(method, page_url + path)
    assert response.status_code == 404


async def test_the_page_offers_no_way_to_an_api(tab: Tab) -> None:
    text = await tab.page.locator("body").inner_text()
    assert "API" not in text
    assert "Gradio" not in text
