"""A browser tab with the page in it, and the gestures of somebody who uses it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from playwright.async_api import Locator, Page, Request, expect

EVENT = "/gradio_api/queue/join"
EVENTS_STREAM = "/gradio_api/queue/data"  # the browser's, open while events are under way
PATIENCE_S = 20

NUMBERS = ".note.numbers"
FAILURE = ".note.failure"


RECORD = """() => {
    window.seen = [];
    const look = () => {
        const text = [...document.querySelectorAll(".bot.message")].at(-1)?.innerText.trim();
        if (text && text !== window.seen.at(-1)) window.seen.push(text);
    };
    new MutationObserver(look).observe(document.body,
        {childList: true, subtree: true, characterData: true});
}"""

STOP_AT_FIRST_WORD = """() => new Promise((resolve) => {
    const look = () => {
        const text = [...document.querySelectorAll(".bot.message")].at(-1)?.innerText.trim();
        const button = document.querySelector("#input .stop-button");
        if (text && button && !observer.stopped) {
            observer.stopped = true;
            button.click();
            resolve();
        }
    };
    const observer = new MutationObserver(look);
    observer.observe(document.body, {childList: true, subtree: true, characterData: true});
})"""


@dataclass
class Tab:
    """What a user can do and see. `requests` are the addresses that the browser asked."""

    page: Page
    requests: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)
    _quiet: asyncio.Event = field(default_factory=asyncio.Event)  # no event is under way

    async def open(self, url: str, *, models: bool = True) -> None:
        """Load the page; without `models` do not wait for one to be found."""
        self.page.on("request", self._note_request)
        self.page.on("requestfinished", self._note_end)
        self.page.on("requestfailed", self._note_end)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        await self.page.goto(url)
        await expect(self.input).to_be_visible()
        if models:
            await expect(self.page.locator("#model input")).not_to_have_value("")
        await self.idle()

    def _note_request(self, request: Request) -> None:
        self.requests.append(request.url)
        if EVENT in request.url:
            self._quiet.clear()

    def _note_end(self, request: Request) -> None:
        if EVENTS_STREAM in request.url:
            self._quiet.set()

    @property
    def input(self) -> Locator:
        return self.page.locator("#input textarea")

    @property
    def stop_button(self) -> Locator:
        return self.page.locator("#input .stop-button")

    @property
    def questions(self) -> Locator:
        return self.page.locator("[data-testid=user]")

    @property
    def answer(self) -> Locator:
        """The last answer with its notes."""
        return self.page.locator(".bot.message").last

    @property
    def numbers(self) -> Locator:
        return self.page.locator(NUMBERS).last

    @property
    def failure(self) -> Locator:
        return self.page.locator(FAILURE).last

    def button(self, name: str) -> Locator:
        return self.page.get_by_role("button", name=name, exact=True)

    async def send(self, text: str) -> None:
        """Send, without waiting for the answer."""
        await self.input.fill(text)
        async with self._begun():
            await self.input.press("Enter")

    async def ask(self, text: str) -> str:
        """Send and wait for the end; the answer's text with its notes."""
        await self.send(text)
        await self.idle()
        return await self.answer.inner_text()

    async def idle(self) -> None:
        """Until nothing is under way and the input takes the next question."""
        async with asyncio.timeout(PATIENCE_S):
            await self._quiet.wait()
        await expect(self.page.locator("#input .submit-button")).to_be_visible()
        await expect(self.page.locator(".note.waiting")).to_have_count(0)

    async def edit_last(self, text: str) -> None:
        await self.button("Edit").last.click()
        await self.page.locator(".edit-textarea").fill(text)
        async with self._begun():
            await self.button("Submit").click()
        await self.idle()

    async def retry(self) -> None:
        """Ask the last question again and wait for the end."""
        async with self._begun():
            await self.button("Retry").click()
        await self.idle()

    async def ramble(self) -> None:
        """Make a model go on and on: it is rewarded for repeating itself."""
        await self.page.locator("#settings .toggle-button").click()
        await self.page.get_by_text("More sampling").click()
        for penalty in ("Presence", "Frequency"):
            await self.page.get_by_label(f"number input for {penalty} penalty").fill("-2")
        await self.page.locator("#settings .toggle-button").click()

    async def record(self) -> None:
        """From now on keep what the last answer shows, each time it changes; see `seen`."""
        await self.page.evaluate(RECORD)

    async def seen(self) -> list[str]:
        return [str(text) for text in await self.page.evaluate("window.seen")]

    async def send_and_stop(self, text: str) -> None:
        """Send, press stop as soon as there is a first word, and wait for the end."""
        await self.input.fill(text)
        self._quiet.clear()
        stopping = asyncio.create_task(self.page.evaluate(STOP_AT_FIRST_WORD))
        await asyncio.sleep(0)
        await self.input.press("Enter")
        async with asyncio.timeout(PATIENCE_S):
            await stopping
        await self.idle()

    @asynccontextmanager
    async def _begun(self) -> AsyncIterator[None]:
        """Waits until the page has been told, so that `idle` waits for its answer."""
        async with self.page.expect_request(lambda request: EVENT in request.url):
            yield

    async def watch(self, times: int) -> list[str]:
        """The answer's text, each time it has changed."""
        seen = [""]
        for _ in range(times):
            await expect(self.answer).not_to_have_text(seen[-1])
            seen.append(await self.answer.inner_text())
        return seen[1:]
