"""Answers as bytes: the events of a stream, and the whole body.

Events of one stream differ in a few characters only, so their beginning and end are made once.
Text is escaped to ASCII: some clients split lines at U+2028 and its like.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from pydantic import BaseModel

from cloister import sse
from cloister.errors import CloisterError
from cloister.wire.base import PromptTokensDetails, Usage
from cloister.wire.chat import (
    ChatAnswer,
    ChatChoice,
    ChatFinishReason,
    ChatMessage,
    MadeCall,
    MadeFunction,
)
from cloister.wire.completion import CompletionAnswer, CompletionChoice
from worker.api.choice import Piece, joined
from worker.api.logprobs import chat_logprobs, completion_logprobs
from worker.api.padding import padding
from worker.api.parts import Arguments, Call, Content, Part, Reasoning


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
    """How one kind of answer is written. `ping` says that there is nothing yet, `done` ends all."""

    ping: bytes
    done: bytes

    def begin(self) -> bytes:
        """What stands before all events."""

    def first(self, piece: Piece) -> bytes:
        """The first event of a choice, with one part or none."""

    def part(self, piece: Piece) -> bytes:
        """A further event, with one part."""

    def end(self, piece: Piece) -> bytes:
        """The event behind a choice's parts, with the entries of a piece that has no part."""

    def usage(self, usage: Usage) -> bytes:
        """The last event, if there is one behind the ends of all choices; `done` follows."""

    def failure(self, error: CloisterError) -> bytes:
        """The last event of a stream that fails; `done` follows."""

    def whole(self, told: Sequence[Sequence[Piece]], usage: Usage) -> bytes:
        """The body of an answer that is not streamed; all pieces of each choice."""


def usage_of(prompt: int, generated: int, cached: int) -> Usage:
    """The wire's usage from counts of tokens; `prompt` includes the cached ones."""
    return Usage(
        prompt_tokens=prompt,
        completion_tokens=generated,
        total_tokens=prompt + generated,
        prompt_tokens_details=PromptTokensDetails(cached_tokens=cached),
    )


class OpenAIStream:
    """What OpenAI's streams have in common."""

    ping = sse.PING
    done = sse.DONE

    def begin(self) -> bytes:
        return b""

    def failure(self, error: CloisterError) -> bytes:
        return sse.frame(json.dumps(error.body()).encode())


class ChatFrames(OpenAIStream):
    """The role comes once, with the first text; the finish event's delta is empty."""

    def __init__(self, head: Head, extras: Extras) -> None:
        self._head = head
        self._events = _Events(head, "chat.completion.chunk", extras)
        self.usage = self._events.usage

    def first(self, piece: Piece) -> bytes:
        delta = '"delta":{"role":"assistant",' + _delta(piece) + "}"
        return self._events.choice(piece.index, delta, _told(piece))

    def part(self, piece: Piece) -> bytes:
        return self._events.choice(piece.index, '"delta":{' + _delta(piece) + "}", _told(piece))

    def end(self, piece: Piece) -> bytes:
        told = None if piece.parts else _told(piece)
        return self._events.choice(piece.index, '"delta":{}', told, piece.finish)

    def whole(self, told: Sequence[Sequence[Piece]], usage: Usage) -> bytes:
        answer = ChatAnswer(
            id=self._head.id,
            created=self._head.created,
            model=self._head.model,
            system_fingerprint=self._head.system_fingerprint,
            choices=list(map(_chat_choice, map(joined, told))),
            usage=usage,
        )
        left_out = {place: {"message": _absent(one)} for place, one in enumerate(answer.choices)}
        return answer.model_dump_json(exclude={"choices": left_out}).encode()


class CompletionFrames(OpenAIStream):
    """Each event has some text; the finish event's is empty."""

    def __init__(self, head: Head, extras: Extras) -> None:
        self._head = head
        self._events = _Events(head, "text_completion", extras)
        self.usage = self._events.usage

    def first(self, piece: Piece) -> bytes:
        return self.part(piece)

    def part(self, piece: Piece) -> bytes:
        told = completion_logprobs(piece.entries or None)
        return self._events.choice(piece.index, '"text":' + json.dumps(_text(piece)), told)

    def end(self, piece: Piece) -> bytes:
        told = None if piece.parts else completion_logprobs(piece.entries or None)
        return self._events.choice(piece.index, '"text":""', told, piece.finish)

    def whole(self, told: Sequence[Sequence[Piece]], usage: Usage) -> bytes:
        answer = CompletionAnswer(
            id=self._head.id,
            created=self._head.created,
            model=self._head.model,
            system_fingerprint=self._head.system_fingerprint,
            choices=list(map(_completion_choice, map(joined, told))),
            usage=usage,
        )
        return answer.model_dump_json().encode()


OPTIONAL = ("reasoning_content", "tool_calls")
"""Members of a message that are left out where there is nothing to say."""


def _absent(choice: ChatChoice) -> set[str]:
    return {name for name in OPTIONAL if getattr(choice.message, name) is None}


def _told(piece: Piece) -> BaseModel | None:
    return chat_logprobs(piece.entries or None)


def _text(piece: Piece) -> str:
    """All content."""
    return "".join(part.text for part in piece.parts if isinstance(part, Content))


def _delta(piece: Piece) -> str:
    """The members that a piece of one part or none adds to a message."""
    match piece.parts[0] if piece.parts else Content(""):
        case Content(text):
            return '"content":' + json.dumps(text)
        case Reasoning(text):
            return '"reasoning_content":' + json.dumps(text)
        case Call(index, id, name):
            function = json.dumps({"name": name, "arguments": ""}, separators=(",", ":"))
            call = f'"index":{index},"id":"{id}","type":"function","function":{function}'
        case Arguments(index, text):
            call = f'"index":{index},"function":{{"arguments":{json.dumps(text)}}}'
    return f'"tool_calls":[{{{call}}}]'


def _chat_choice(piece: Piece) -> ChatChoice:
    assert piece.finish is not None, "a whole answer has an end"
    return ChatChoice(
        index=piece.index,
        message=_message(piece),
        logprobs=chat_logprobs(piece.entries),
        finish_reason=piece.finish,
    )


def _message(piece: Piece) -> ChatMessage:
    """All parts as one message; its content is null beside calls alone."""
    content = _text(piece)
    thought = "".join(part.text for part in piece.parts if isinstance(part, Reasoning))
    calls = [_made(part, piece.parts) for part in piece.parts if isinstance(part, Call)]
    return ChatMessage(
        content=content if content or not calls else None,
        reasoning_content=thought or None,
        tool_calls=calls or None,
    )


def _made(call: Call, parts: Sequence[Part]) -> MadeCall:
    pieces = (part for part in parts if isinstance(part, Arguments) and part.index == call.index)
    arguments = "".join(piece.text for piece in pieces)
    return MadeCall(id=call.id, function=MadeFunction(name=call.name, arguments=arguments))


def _completion_choice(piece: Piece) -> CompletionChoice:
    assert piece.finish is not None, "a whole answer has an end"
    assert piece.finish != "tool_calls", "only chats have calls"
    return CompletionChoice(
        index=piece.index,
        text=_text(piece),
        logprobs=completion_logprobs(piece.entries),
        finish_reason=piece.finish,
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
        self,
        index: int,
        part: str,
        logprobs: BaseModel | None,
        finish: ChatFinishReason | None = None,
    ) -> bytes:
        told = "null" if logprobs is None else json.dumps(logprobs.model_dump())
        reason = "null" if finish is None else f'"{finish}"'
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
