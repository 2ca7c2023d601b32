"""The terminal that a person types in: line editing, commands, and Ctrl-C that stops an answer."""

import asyncio
import difflib
import signal
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from prompt_toolkit import PromptSession
from prompt_toolkit.formatted_text import FormattedText
from prompt_toolkit.history import FileHistory, History, InMemoryHistory
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent

from cloister.dialogue import Dialogue

HELP = """\
/retry         ask the last question again
/clear         forget the conversation
/system TEXT   set the system prompt; without TEXT remove it
/model NAME    ask another model; without NAME list what is on offer
/help          show this
/quit          leave, as Ctrl-D does
Ctrl-C stops an answer, or clears the line. Alt-Enter starts a new line."""

WORDS = ("/help", "/clear", "/retry", "/system", "/model", "/quit")


class Terminal:
    """Reads lines from `prompt` until /quit or Ctrl-D; `say` shows what is not an answer."""

    def __init__(
        self, dialogue: Dialogue, prompt: PromptSession[str], say: Callable[[str], None]
    ) -> None:
        self._dialogue = dialogue
        self._prompt = prompt
        self._say = say

    async def run(self) -> None:
        """Until the person leaves."""
        while True:
            try:
                line = (await self._prompt.prompt_async()).strip()
            except EOFError:
                return
            if line == "/quit":
                return
            if line.startswith("/"):
                await self._obey(*line.split(maxsplit=1))
            elif line:
                await self._stoppable(self._dialogue.ask(line))

    async def _obey(self, word: str, rest: str = "") -> None:
        match word:
            case "/help":
                self._say(HELP)
            case "/clear":
                self._dialogue.clear()
                self._say("The conversation is forgotten.")
            case "/retry":
                await self._stoppable(self._dialogue.retry())
            case "/system":
                self._dialogue.system = rest
                self._say("The system prompt is set." if rest else "There is no system prompt now.")
            case "/model":
                await self._choose(rest)
            case _:
                near = difflib.get_close_matches(word, WORDS, n=1) or ["/help"]
                self._say(f"There is no command {word}; did you mean {near[0]}?")

    async def _choose(self, name: str) -> None:
        names = await self._dialogue.models()
        if name in names:
            self._dialogue.model = name
            self._say(f"You are talking to {name}.")
        elif names:
            self._say("On offer: " + ", ".join(names))

    async def _stoppable(self, answer: Coroutine[Any, Any, bool]) -> None:
        """Run `answer`; Ctrl-C ends it, and with it the connection that it reads from."""
        task = asyncio.create_task(answer)
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGINT, task.cancel)
        try:
            await asyncio.wait({task})
        finally:
            loop.remove_signal_handler(signal.SIGINT)
        if task.cancelled():
            self._say("stopped")
        else:
            task.result()


def prompt_session(history: Path | None, **devices: Any) -> PromptSession[str]:
    """Line editing with typed lines kept in memory, or in the file `history`."""
    keep: History = FileHistory(str(history)) if history else InMemoryHistory()
    message = FormattedText([("ansigreen bold", "› ")])
    return PromptSession(message, history=keep, key_bindings=_keys(), **devices)


def _keys() -> KeyBindings:
    keys = KeyBindings()

    @keys.add("c-c")
    def _clear_line(event: KeyPressEvent) -> None:
        event.current_buffer.reset()

    @keys.add("escape", "enter")
    def _new_line(event: KeyPressEvent) -> None:
        event.current_buffer.insert_text("\n")

    return keys
