"""The page when its API is killed while an answer comes, and comes back."""

import pytest
from playwright.async_api import expect

from tests.webui.fake_openai import FakeOpenAI, Script, serve
from tests.webui.tab import Tab

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_a_dead_server_is_told_and_the_chat_goes_on_when_it_is_back(
    page_url: str, api_port: int, blank: Tab
) -> None:
    tab = blank
    fake = FakeOpenAI(script=Script(("la ",), repeat=True, pause_s=0.01))
    with serve(fake.app(), api_port):
        await tab.open(page_url)
        await tab.send("Sing")
        await tab.watch(2)
    await expect(tab.failure).to_contain_text("The answer broke off")
    await expect(tab.answer).to_contain_text("la la")
    await tab.idle()

    await tab.ask("Are you there?")
    await expect(tab.failure).to_contain_text("The model server cannot be reached.")
    await expect(tab.questions).to_have_text(["Sing", "Are you there?"])

    fake = FakeOpenAI()
    with serve(fake.app(), api_port):
        await tab.retry()
        await expect(tab.answer).to_contain_text("Good day to you.")
