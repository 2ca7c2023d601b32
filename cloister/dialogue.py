"""A conversation in the terminal: its turns, and answers that are written while they come."""

from collections.abc import Callable
from contextlib import aclosing
from typing import TextIO

from cloister.client import Chat, Client, Delta, Message, Options, Summary
from cloister.errors import CloisterError, Unavailable
from cloister.words import failure, numbers

UNPRINTABLE = {code: None for code in (*range(32), *range(127, 160)) if chr(code) not in "\n\t"}
"""A model's words must not steer the terminal: escape sequences begin with one of these."""


class Dialogue:
    """Asks `client` for `model` ("" is the first on offer); writes answers to `out`.

    `note` shows counts and `complain` errors, each a line of words.
    """

    def __init__(
        self,
        client: Client,
        options: Options,
        out: TextIO,
        note: Callable[[str], None],
        complain: Callable[[str], None],
    ) -> None:
        self.model = ""
        self.system = ""
        self._client = client
        self._options = options
        self._out = out
        self._note = note
        self._complain = complain
        self._turns: list[Message] = []

    async def ask(self, text: str) -> bool:
        """Put a question and write the answer. False if there was none, or only a part."""
        if self._turns and self._turns[-1].role == "user":
            self._turns.pop()  # it found no answer
        self._turns.append(Message("user", text))
        return await self._answer()

    async def retry(self) -> bool:
        """Put the last question again."""
        if self._turns and self._turns[-1].role == "assistant":
            self._turns.pop()
        if not self._turns:
            self._complain("There is no question yet.")
            return False
        return await self._answer()

    def clear(self) -> None:
        """Forget all turns."""
        self._turns.clear()

    async def models(self) -> tuple[str, ...]:
        """What is on offer; nothing, and a complaint, if that cannot be told."""
        try:
            return await self._client.models()
        except CloisterError as error:
            self._fail(error, begun=False)
            return ()

    async def _answer(self) -> bool:
        pieces: list[str] = []
        try:
            summary = await self._write(pieces)
        except CloisterError as error:
            self._end(pieces)
            self._fail(error, begun=bool(pieces))
            return False
        except BaseException:  # stopped: what came so far is part of the conversation
            self._end(pieces)
            raise
        self._end(pieces)
        self._note(numbers(summary, summary.first_s))
        return True

    async def _write(self, pieces: list[str]) -> Summary:
        self.model = self.model or await self._first_model()
        system = (Message("system", self.system),) if self.system else ()
        chat = Chat(self.model, (*system, *self._turns), self._options)
        async with aclosing(self._client.chat(chat)) as events:
            async for event in events:
                match event:
                    case Delta(text):
                        pieces.append(text)
                        self._out.write(text.translate(UNPRINTABLE))
                        self._out.flush()
                    case Summary():
                        return event
        raise AssertionError("a stream ends with a summary or an error")

    async def _first_model(self) -> str:
        names = await self._client.models()
        if not names:
            raise Unavailable("no model is loaded")
        return names[0]

    def _end(self, pieces: list[str]) -> None:
        if pieces:
            self._out.write("\n")
            self._out.flush()
            self._turns.append(Message("assistant", "".join(pieces)))

    def _fail(self, error: CloisterError, *, begun: bool) -> None:
        words = failure(error, begun=begun)
        detail = "" if error.message.rstrip(".") in words else f" ({error.message})"
        self._complain(words + detail)
