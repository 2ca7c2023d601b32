"""Answers as bytes: the events of a stream, and the whole body.

Events of one stream differ in a few characters only, so their beginning and end are made once.
Text is escaped to ASCII: some clients split lines at U+2028 and its like.
"""

import json
from dataclasses import dataclass
from typing import Protocol

from cloister.wire.base import PromptTokensDetails, Usage
from cloister.wire.chat import ChatAnswer, ChatChoice, ChatMessage
from cloister.wire.completion import CompletionAnswer, CompletionChoice
from worker.engine.request import Finish


@dataclass(frozen=True, slots=True)
class Head:
    """What all parts of one answer repeat."""

    id: str
    created: int
    model: str
    system_fingerprint: str


class Frames(Protocol):
    """How one kind of answer is written."""

    def first(self, text: str) -> bytes:
        """The first event with text."""

    def text(self, text: str) -> bytes:
        """A further event with text."""

    def end(self, finish: Finish, usage: Usage) -> bytes:
        """The events behind the text, up to where `[DONE]` follows."""

    def whole(self, text: str, finish: Finish, usage: Usage) -> bytes:
        """The body of an answer that is not streamed."""


def usage_of(prompt: int, generated: int, cached: int) -> Usage:
    """The wire's usage from counts of tokens; `prompt` includes the cached ones."""
    return Usage(
        prompt_tokens=prompt,
        completion_tokens=generated,
        total_tokens=prompt + generated,
        prompt_tokens_details=PromptTokensDetails(cached_tokens=cached),
    )


class ChatFrames:
    """The role comes once, with the first text; the finish event's delta is empty."""

    def __init__(self, head: Head, *, include_usage: bool) -> None:
        self._head = head
        self._events = _Events(head, "chat.completion.chunk", include_usage)

    def first(self, text: str) -> bytes:
        return self._events.choice(
            '"delta":{"role":"assistant","content":' + json.dumps(text) + "}"
        )

    def text(self, text: str) -> bytes:
        return self._events.choice('"delta":{"content":' + json.dumps(text) + "}")

    def end(self, finish: Finish, usage: Usage) -> bytes:
        return self._events.choice('"delta":{}', finish) + self._events.usage(usage)

    def whole(self, text: str, finish: Finish, usage: Usage) -> bytes:
        choice = ChatChoice(index=0, message=ChatMessage(content=text), finish_reason=finish.value)
        answer = ChatAnswer(
            id=self._head.id,
            created=self._head.created,
            model=self._head.model,
            system_fingerprint=self._head.system_fingerprint,
            choices=[choice],
            usage=usage,
        )
        return answer.model_dump_json().encode()


class CompletionFrames:
    """Each event has some text; the finish event's is empty."""

    def __init__(self, head: Head, *, include_usage: bool) -> None:
        self._head = head
        self._events = _Events(head, "text_completion", include_usage)

    def first(self, text: str) -> bytes:
        return self.text(text) if text else b""

    def text(self, text: str) -> bytes:
        return self._events.choice('"text":' + json.dumps(text))

    def end(self, finish: Finish, usage: Usage) -> bytes:
        return self._events.choice('"text":""', finish) + self._events.usage(usage)

    def whole(self, text: str, finish: Finish, usage: Usage) -> bytes:
        choice = CompletionChoice(index=0, text=text, finish_reason=finish.value)
        answer = CompletionAnswer(
            id=self._head.id,
            created=self._head.created,
            model=self._head.model,
            system_fingerprint=self._head.system_fingerprint,
            choices=[choice],
            usage=usage,
        )
        return answer.model_dump_json().encode()


class _Events:
    """The parts around what differs between a stream's events."""

    def __init__(self, head: Head, kind: str, include_usage: bool) -> None:
        common = {
            "id": head.id,
            "object": kind,
            "created": head.created,
            "model": head.model,
            "system_fingerprint": head.system_fingerprint,
        }
        self._include_usage = include_usage
        self._before = "data: " + json.dumps(common, separators=(",", ":"))[:-1] + ',"choices":['
        self._after = ',"usage":null}\n\n' if include_usage else "}\n\n"

    def choice(self, part: str, finish: Finish | None = None) -> bytes:
        reason = "null" if finish is None else f'"{finish.value}"'
        ends = f',"logprobs":null,"finish_reason":{reason}}}]'
        return (self._before + '{"index":0,' + part + ends + self._after).encode("ascii")

    def usage(self, usage: Usage) -> bytes:
        """The last event, if asked for; it has no choice."""
        if not self._include_usage:
            return b""
        return f'{self._before}],"usage":{usage.model_dump_json()}}}\n\n'.encode("ascii")
