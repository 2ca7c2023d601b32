"""A conversation in the two forms it has: what the browser's chat shows, what a model is asked.

The browser holds the history and sends it with each question; nothing of it stays here. A shown
message is a dictionary as Gradio's Chatbot knows it, its content a list of text blocks: the first
is what was said, the others are the page's own notes beneath it.
"""

import html
from collections.abc import Iterator, Sequence
from typing import Any

from cloister.client import Message
from cloister.words import failure, numbers
from webui.answers import Answer

Shown = dict[str, Any]


def question(text: str) -> Shown:
    """The user's message."""
    return _shown("user", text)


def reply(answer: Answer) -> Shown:
    """The model's message, with notes beneath it once there is something to tell."""
    return _shown("assistant", answer.text, *(_note(*note) for note in _notes(answer)))


def shown(history: Any) -> list[Shown]:
    """The conversation that a browser sent, as this page makes it: roles and texts, no files.

    Raises KeyError, TypeError or AttributeError for what no page of ours holds.
    """
    return [
        _shown(
            "assistant" if message["role"] == "assistant" else "user",
            *(str(block["text"]) for block in message["content"] if block["type"] == "text"),
        )
        for message in history or []
    ]


def messages(history: Sequence[Shown], system: str = "") -> tuple[Message, ...]:
    """What to ask the model: all turns that were answered, and the last question.

    A question whose answer failed before its first word is left out together with that answer,
    since most chat templates want user and assistant to take turns.
    """
    turns = [Message(message["role"], said(message)) for message in history]
    unanswered = {
        index - 1
        for index, turn in enumerate(turns)
        if turn.role == "assistant" and not turn.content
    }
    kept = [turn for index, turn in enumerate(turns) if turn.content and index not in unanswered]
    preface = [Message("system", system.strip())] if system.strip() else []
    return (*preface, *kept)


def said(message: Shown) -> str:
    """The text of a shown message, without notes."""
    return str(message["content"][0]["text"]) if message["content"] else ""


def _notes(answer: Answer) -> Iterator[tuple[str, str]]:
    """Kinds and words of the notes; page.css has a look for each kind."""
    if answer.state == "waiting":
        yield "waiting", ""
    if answer.error is not None:
        yield "failure", failure(answer.error, begun=bool(answer.text))
    line = numbers(answer.summary, answer.first_s)
    if answer.state == "stopped":
        yield "numbers", " · ".join(["stopped", *filter(None, [line])])
    if answer.state == "complete" and line:
        yield "numbers", line


def _shown(role: str, *texts: str) -> Shown:
    content = [{"type": "text", "text": text} for text in texts]
    return {"role": role, "metadata": None, "content": content, "options": None}


def _note(kind: str, text: str) -> str:
    return f'<div class="note {kind}">{html.escape(text)}</div>'
