"""The page when something behind it goes wrong, and what reaches the server that answers."""

import asyncio
import threading
from pathlib import Path

import httpx
import pytest
from playwright.async_api import Browser, expect

from tests.webui.fake_openai import FakeOpenAI, Script, error
from tests.webui.tab import Tab

pytestmark = pytest.mark.asyncio(loop_scope="session")

ENDLESS = Script(("la ",), repeat=True, pause_s=0.01)


async def happened(event: threading.Event) -> bool:
    return await asyncio.to_thread(event.wait, 10)


async def test_stop_closes_the_connection(tab: Tab, fake: FakeOpenAI) -> None:
    fake.script = ENDLESS
    await tab.send("Sing")
    await tab.watch(1)
    await tab.stop_button.click()
    assert await happened(fake.left)
    await tab.idle()
    assert fake.active == 0


async def test_stop_works_before_the_first_word(tab: Tab, fake: FakeOpenAI) -> None:
    fake.script = Script(first_pause_s=60)
    await tab.send("Think")
    await tab.stop_button.click()
    assert await happened(fake.left)
    await expect(tab.numbers).to_have_text("stopped")


async def test_a_closed_tab_closes_the_connection(
    browser: Browser, page_url: str, fake: FakeOpenAI
) -> None:
    fake.script = Script(first_pause_s=60)
    tab = Tab(await browser.new_page())
    await tab.open(page_url)
    await tab.send("Think")
    assert await happened(fake.asked)
    await tab.page.close()
    assert await happened(fake.left)


async def test_users_do_not_wait_for_each_other(
    tab: Tab, browser: Browser, page_url: str, fake: FakeOpenAI
) -> None:
    fake.script = ENDLESS
    await tab.send("Sing")
    await tab.watch(1)
    fake.script = Script()
    other = Tab(await browser.new_page())
    await other.open(page_url)
    await other.ask("Hello")
    assert fake.active == 1
    await expect(other.answer).to_contain_text("Good day to you.")
    await other.page.close()


async def test_text_stays_when_the_stream_breaks_off(tab: Tab, fake: FakeOpenAI) -> None:
    fake.script = Script(("Once ", "upon"), broken=True)
    await tab.ask("A story")
    await expect(tab.answer).to_contain_text("Once upon")
    await expect(tab.failure).to_contain_text("The answer broke off")


async def test_an_error_in_the_stream_is_told_and_retry_mends_it(
    tab: Tab, fake: FakeOpenAI
) -> None:
    fake.script = Script(("Once ",), failure=error("the worker ended", code="unavailable"))
    await tab.ask("A story")
    await expect(tab.failure).to_contain_text("The model is not available")
    fake.script = Script()
    await tab.retry()
    await expect(tab.answer).to_contain_text("Good day to you.")
    await expect(tab.failure).to_have_count(0)


async def test_a_refusal_is_told_as_words_not_markup(tab: Tab, fake: FakeOpenAI) -> None:
    fake.script = Script(refusal=(400, error("<b>bad</b>", "invalid_request_error"), {}))
    await tab.ask("Hello")
    await expect(tab.failure).to_contain_text("refused: <b>bad</b>.")
    await expect(tab.questions).to_have_text(["Hello"])


async def test_a_question_that_failed_is_not_asked_again_with_the_next(
    tab: Tab, fake: FakeOpenAI
) -> None:
    fake.script = Script(refusal=(503, error("no worker"), {}))
    await tab.ask("First")
    fake.script = Script()
    await tab.ask("Second")
    await tab.ask("Third")
    assert fake.bodies[-1]["messages"] == [
        {"role": "user", "content": "Second"},
        {"role": "assistant", "content": "Good day to you."},
        {"role": "user", "content": "Third"},
    ]


async def test_settings_reach_the_server(tab: Tab, fake: FakeOpenAI) -> None:
    await tab.page.locator("#settings .toggle-button").click()
    await tab.page.locator("#system textarea").fill("Be brief.")
    await tab.page.get_by_label("number input for Temperature").fill("0.5")
    await tab.page.get_by_label("Longest answer, in tokens").fill("99")
    await tab.page.locator("#model input").click()
    await tab.page.get_by_role("option", name="sage").click()
    await expect(tab.page.locator("#line")).to_contain_text("You are talking to sage.")
    await tab.ask("Hello")
    assert fake.bodies[-1] == {
        "model": "sage",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Hello"},
        ],
        "stream": True,
        "stream_options": {"include_usage": True},
        "temperature": 0.5,
        "max_tokens": 99,
    }


async def test_refresh_finds_new_models(tab: Tab, fake: FakeOpenAI) -> None:
    fake.models = ("scholar",)
    await tab.button("Refresh models").click()
    await expect(tab.page.locator("#model input")).to_have_value("scholar")


async def test_the_privacy_mode_stands_beside_the_models_name(tab: Tab, fake: FakeOpenAI) -> None:
    fake.execution = "split-blind"
    await tab.button("Refresh models").click()
    await expect(tab.page.locator("#model input")).to_have_value("novice · split-blind")
    await tab.ask("Hello")
    await expect(tab.answer).to_contain_text("Good day")
    assert fake.bodies[-1]["model"] == "novice"


@pytest.mark.parametrize("execution", ["local", None])
async def test_a_model_without_a_gpu_is_shown_by_its_name(
    tab: Tab, fake: FakeOpenAI, execution: str | None
) -> None:
    fake.execution, fake.models = execution, ("scholar",)
    await tab.button("Refresh models").click()
    await expect(tab.page.locator("#model input")).to_have_value("scholar")


async def test_a_page_opened_too_early_answers_as_soon_as_it_can(
    browser: Browser, page_url: str, fake: FakeOpenAI
) -> None:
    fake.models = ()
    tab = Tab(await browser.new_page())
    await tab.open(page_url, models=False)
    await expect(tab.page.locator("#line")).to_contain_text("No model can be reached")
    await tab.ask("Hello")
    await expect(tab.failure).to_contain_text("not available")
    fake.models = ("novice",)
    await tab.retry()
    await expect(tab.answer).to_contain_text("Good day")
    await tab.page.close()


async def test_an_image_in_an_answer_calls_no_other_host(tab: Tab, fake: FakeOpenAI) -> None:
    fake.script = Script(("![](https://elsewhere.invalid/?q=secret)",))
    async with tab.page.expect_event("requestfailed") as refused:
        await tab.ask("Draw")
    assert (await refused.value).failure == "csp"


async def test_nothing_is_written_to_disk(tab: Tab, page_home: Path) -> None:
    await tab.ask("A secret")
    assert not files_below(page_home)


async def test_no_prompt_reaches_the_log(
    tab: Tab, fake: FakeOpenAI, page_url: str, page_log: Path
) -> None:
    fake.script = Script(("a secret answer",), failure=error("x"))
    await tab.ask("a secret question")
    async with httpx.AsyncClient(base_url=page_url, trust_env=False) as client:
        events = (await client.get("config")).json()["dependencies"]
        for event in events:
            nonsense = [{"a secret": "a secret"}] * len(event["inputs"])
            body = {"data": nonsense, "fn_index": event["id"], "session_hash": "nobody"}
            assert (await client.post("gradio_api/queue/join", json=body)).is_success
        async with client.stream("GET", "gradio_api/queue/data?session_hash=nobody") as stream:
            assert "process_completed" in (await stream.aread()).decode()
    assert "unexpected error" in words_in(page_log)
    assert "secret" not in words_in(page_log)


def words_in(file: Path) -> str:
    return file.read_text()


def files_below(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]
