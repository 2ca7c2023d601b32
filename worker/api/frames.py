"""Answers as bytes: the events of a stream, and the whole body.

Events of one stream differ in a few characters only, so their beginning and end are made once.
Text is escaped to ASCII: some clients split lines at U+2028 and its like.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from pydantic import BaseModel

from cloister.wire.base import PromptTokensDetails, Usage
from cloister.wire.chat import ChatAnswer, ChatChoice, ChatMessage
from cloister.wire.completion import CompletionAnswer, CompletionChoice
from worker.api.choice import Piece
from worker.api.logprobs import chat_logprobs, completion_logprobs
from worker.api.padding import padding
from worker.engine.request import Finish


@dataclass(frozen=True, slots=True)
class Head:
    """What all parts of one answer repeat."""

    id: str
    created: int
    model: str
    system_fingerprint: str


@dataclass(frozen=True, slots=True)
class Extras:
    """What a stream's events carry besides, if asked for."""

    usage: bool = False
    obfuscation: bool = False


class Frames(Protocol):
    """How one kind of answer is written."""

    def first(self, piece: Piece) -> bytes:
        """The first event of a choice, with text or without."""

    def text(self, piece: Piece) -> bytes:
        """A further event with text."""

    def end(self, piece: Piece) -> bytes:
        """The event behind a choice's text, with the entries of a piece that has no text."""

    def usage(self, usage: Usage) -> bytes:
        """The last event, if asked for; `[DONE]` follows."""

    def whole(self, pieces: Sequence[Piece], usage: Usage) -> bytes:
        """The body of an answer that is not streamed; one piece a choice."""


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

    def __init__(self, head: Head, extras: Extras) -> None:
        self._head = head
        self._events = _Events(head, "chat.completion.chunk", extras)
        self.usage = self._events.usage

    def first(self, piece: Piece) -> bytes:
        delta = '"delta":{"role":"assistant","content":' + json.dumps(piece.text) + "}"
        return self._events.choice(piece.index, delta, _told(piece))

    def text(self, piece: Piece) -> bytes:
        delta = '"delta":{"content":' + json.dumps(piece.text) + "}"
        return self._events.choice(piece.index, delta, _told(piece))

    def end(self, piece: Piece) -> bytes:
        told = None if piece.text else _told(piece)
        return self._events.choice(piece.index, '"delta":{}', told, piece.finish)

    def whole(self, pieces: Sequence[Piece], usage: Usage) -> bytes:
        answer = ChatAnswer(
            id=self._head.id,
            created=self._head.created,
            model=self._head.model,
            system_fingerprint=self._head.system_fingerprint,
            choices=list(map(_chat_choice, pieces)),
            usage=usage,
        )
        return answer.model_dump_json().encode()


class CompletionFrames:
    """Each event has some text; the finish event's is empty."""

    def __init__(self, head: Head, extras: Extras) -> None:
        self._head = head
        self._events = _Events(head, "text_completion", extras)
        self.usage = self._events.usage

    def first(self, piece: Piece) -> bytes:
        return self.text(piece)

    def text(self, piece: Piece) -> bytes:
        told = completion_logprobs(piece.entries or None)
        return self._events.choice(piece.index, '"text":' + json.dumps(piece.text), told)

    def end(self, piece: Piece) -> bytes:
        told = None if piece.text else completion_logprobs(piece.entries or None)
        return self._events.choice(piece.index, '"text":""', told, piece.finish)

    def whole(self, pieces: Sequence[Piece], usage: Usage) -> bytes:
        answer = CompletionAnswer(
            id=self._head.id,
            created=self._head.created,
            model=self._head.model,
            system_fingerprint=self._head.system_fingerprint,
            choices=list(map(_completion_choice, pieces)),
            usage=usage,
        )
        return answer.model_dump_json().encode()


def _told(piece: Piece) -> BaseModel | None:
    return chat_logprobs(piece.entries or None)


def _chat_choice(piece: Piece) -> ChatChoice:
    assert piece.finish is not None, "a whole answer has an end"
    return ChatChoice(
        index=piece.index,
        message=ChatMessage(content=piece.text),
        logprobs=chat_logprobs(piece.entries),
        finish_reason=piece.finish.value,
    )


def _completion_choice(piece: Piece) -> CompletionChoice:
    assert piece.finish is not None, "a whole answer has an end"
    return CompletionChoice(
        index=piece.index,
        text=piece.text,
        logprobs=completion_logprobs(piece.entries),
        finish_reason=piece.finish.value,
    )


class _Events:
    """The parts around what differs between a stream's events."""

    def __init__(self, head: Head, kind: str, extras: Extras) -> None:
        common = {
            "id": head.id,
            "object": kind,
            "created": head.created,
            "model": head.model,
            "system_fingerprint": head.system_fingerprint,
        }
        self._extras = extras
        self._before = "data: " + json.dumps(common, separators=(",", ":"))[:-1] + ',"choices":['
        self._after = ',"usage":null}\n\n' if extras.usage else "}\n\n"

    def choice(
        self, index: int, part: str, logprobs: BaseModel | None, finish: Finish | None = None
    ) -> bytes:
        told = "null" if logprobs is None else json.dumps(logprobs.model_dump())
        reason = "null" if finish is None else f'"{finish.value}"'
        choice = f'{{"index":{index},{part},"logprobs":{told},"finish_reason":{reason}}}'
        return (self._before + choice + "]" + self._padding(choice) + self._after).encode("ascii")

    def usage(self, usage: Usage) -> bytes:
        if not self._extras.usage:
            return b""
        return f'{self._before}],"usage":{usage.model_dump_json()}}}\n\n'.encode("ascii")

    def _padding(self, choice: str) -> str:
        if not self._extras.obfuscation:
            return ""
        return f',"obfuscation":"{padding(len(choice))}"'
