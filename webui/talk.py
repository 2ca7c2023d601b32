"""What happens on the page: questions, retries, edits, stops, and which models there are.

The browser sends its whole conversation with each question; it is checked here (see forgetful.py).
"""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import gradio as gr

from cloister.client import Chat, Client
from cloister.errors import CloisterError, Unavailable
from webui.answers import Answer, Answers
from webui.controls import wish
from webui.conversation import Shown, messages, question, reply, shown
from webui.parts import label, line

Update = Any
"""A component's new value or properties, as Gradio takes them."""

Updates = AsyncGenerator[tuple[Update, Update], None]
"""The chat and the input box, again and again while an answer grows."""


class Talk:
    """The handlers of the page's events. `model` and `values` are the picker and the controls."""

    def __init__(self, client: Client, answers: Answers) -> None:
        self._client = client
        self._answers = answers

    async def submit(
        self, request: gr.Request, text: str, history: Any, model: Any, *values: Any
    ) -> Updates:
        """The input box was sent."""
        if not text.strip():
            return
        yield gr.skip(), gr.update(value="")
        asked = [*shown(history), question(text)]
        async for update in self._answer(request, asked, model, values):
            yield update

    async def example(
        self, request: gr.Request, chosen: gr.SelectData, history: Any, model: Any, *values: Any
    ) -> Updates:
        """One of the examples was clicked."""
        asked = [*shown(history), question(chosen.value["text"])]
        async for update in self._answer(request, asked, model, values):
            yield update

    async def retry(
        self, request: gr.Request, again: gr.RetryData, history: Any, model: Any, *values: Any
    ) -> Updates:
        """The last question is asked again."""
        asked = shown(history)[: int(again.index) + 1]
        async for update in self._answer(request, asked, model, values):
            yield update

    async def edit(
        self, request: gr.Request, edited: gr.EditData, history: Any, model: Any, *values: Any
    ) -> Updates:
        """A question was reworded (`history` holds the new words); what followed it goes."""
        asked = shown(history)[: int(edited.index) + 1]
        async for update in self._answer(request, asked, model, values):
            yield update

    async def stop(self, request: gr.Request) -> None:  # async: tasks belong to the loop's thread
        """The stop button: the answer's last frame says so."""
        self._answers.stop(str(request.session_hash))

    async def clear(self, request: gr.Request) -> list[Shown]:
        """The chat was cleared, perhaps while an answer grew."""
        await self._answers.forget(str(request.session_hash))
        return []

    async def leave(self, request: gr.Request) -> None:
        """The browser went away."""
        await self._answers.forget(str(request.session_hash))

    async def list_models(self, chosen: str | None) -> tuple[Update, Update]:
        """Fill the picker; keep what is chosen while it is still on offer."""
        try:
            offers = await self._client.offers()
        except CloisterError:
            offers = {}
        model = chosen if chosen in offers else next(iter(offers), None)
        choices = [(label(name, execution), name) for name, execution in offers.items()]
        return gr.update(choices=choices, value=model), line(model)

    async def _answer(
        self, request: gr.Request, asked: list[Shown], model: str | None, values: tuple[Any, ...]
    ) -> Updates:
        yield [*asked, reply(Answer())], gr.update(submit_btn=False, stop_btn=True)
        async for answer in self._ask(str(request.session_hash), asked, model, values):
            yield [*asked, reply(answer)], gr.skip()
        yield gr.skip(), gr.update(submit_btn=True, stop_btn=False)

    async def _ask(
        self, session: str, asked: list[Shown], model: str | None, values: tuple[Any, ...]
    ) -> AsyncGenerator[Answer, None]:
        system, options = wish(values)
        try:
            chat = Chat(model or await self._first_model(), messages(asked, system), options)
        except CloisterError as error:
            yield Answer(state="failed", error=error)
            return
        async with aclosing(self._answers.ask(session, chat)) as frames:
            async for answer in frames:
                yield answer

    async def _first_model(self) -> str:
        names = await self._client.models()
        if not names:
            raise Unavailable("no model is loaded")
        return names[0]
