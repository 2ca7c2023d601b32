"""`cloister chat`: talk to any OpenAI address in a terminal, or in a pipe.

What is typed and answered stays in memory, unless `--history` names a file for the typed lines.
"""

import asyncio
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, ClassVar

from pydantic import AfterValidator, Field, SecretStr
from rich.console import Console
from rich.text import Text

from cloister.client import Client, Options, base_url
from cloister.dialogue import Dialogue
from cloister.settings import Settings, command


class ChatSettings(Settings):
    """Chat in the terminal. With a pipe as input: answer what comes through it, once."""

    program: ClassVar[str] = "chat"
    url: Annotated[str, AfterValidator(base_url)] = Field(
        "http://127.0.0.1:8000/v1", description="OpenAI address"
    )
    api_key: SecretStr = Field(SecretStr(""), description="key for that address, if it wants one")
    model: str = Field("", description="model to ask; the first on offer if left out")
    system: str = Field("", description="system prompt")
    temperature: float | None = Field(None, ge=0, le=2, description="0 takes the likeliest word")
    top_p: float | None = Field(None, gt=0, le=1, description="likeliest words that add up to this")
    top_k: int | None = Field(None, ge=1, description="this many likeliest words")
    max_tokens: int | None = Field(None, ge=1, description="longest answer, in tokens")
    seed: int | None = Field(None, description="equal seeds give equal answers")
    presence_penalty: float | None = Field(
        None, ge=-2, le=2, description="against repeating at all"
    )
    frequency_penalty: float | None = Field(
        None, ge=-2, le=2, description="against repeating often"
    )
    history: Path | None = Field(None, description="file that keeps typed lines; none by default")

    def options(self) -> Options:
        """What of the sampling is chosen."""
        return Options(**self.model_dump(include=set(Options.__dataclass_fields__)))


@command
def main(argv: Sequence[str]) -> int:
    """Chat. Exit status: 0, or 1 if a piped question found no answer, 2 for bad settings."""
    settings = ChatSettings.load(argv)
    typed = sys.stdin.isatty() and sys.stdout.isatty()
    try:
        return asyncio.run(_converse(settings) if typed else _answer_once(settings))
    except BrokenPipeError:  # whoever read the answer has enough of it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


async def _converse(settings: ChatSettings) -> int:
    from cloister.terminal import (
        Terminal,
        prompt_session,
    )  # its imports are slow, and not for pipes

    console = Console(highlight=False)

    def say(words: str, style: str = "dim") -> None:
        console.print(Text(words, style))

    async with _client(settings) as client:
        dialogue = Dialogue(client, settings.options(), sys.stdout, say, lambda w: say(w, "red"))
        dialogue.model, dialogue.system = settings.model, settings.system
        say(f"{settings.url} · /help shows the commands, Ctrl-D leaves")
        await Terminal(dialogue, prompt_session(settings.history), say).run()
    return 0


async def _answer_once(settings: ChatSettings) -> int:
    text = sys.stdin.read().strip()
    if not text:
        sys.stderr.write("error: there is nothing to answer on standard input\n")
        return 1

    def complain(words: str) -> None:
        sys.stderr.write(f"error: {words}\n")

    async with _client(settings) as client:
        dialogue = Dialogue(client, settings.options(), sys.stdout, lambda _: None, complain)
        dialogue.model, dialogue.system = settings.model, settings.system
        return 0 if await dialogue.ask(text) else 1


def _client(settings: ChatSettings) -> Client:
    return Client(settings.url, settings.api_key.get_secret_value())


if __name__ == "__main__":
    sys.exit(main())
