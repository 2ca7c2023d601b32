"""Answers as bytes: the events of a stream, and the whole body.

Events of one stream differ in a few characters only, so their beginning and end are made once.
Text is escaped to ASCII: some clients split lines at U+2028 and its like.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from cloister.wire.base import PromptTokensDetails, Usage
from cloister.wire.chat import ChatAnswer, ChatChoice, ChatMessage, MadeCall, MadeFunction
from cloister.wire.completion import CompletionAnswer, CompletionChoice
from worker.api.parts import Arguments, Call, Content, Part, Reasoning
from worker.engine.request import Finish

CALLED = "tool_calls"


@dataclass(frozen=True, slots=True)
class Head:
    """What all parts of one answer repeat."""

    id: str
    created: int
    model: str
    system_fingerprint: str


class Frames(Protocol):
    """How one kind of answer is written."""

    def first(self, part: Part) -> bytes:
        """The first event of an answer."""

    def part(self, part: Part) -> bytes:
        """A further event."""

    def end(self, reason: str, usage: Usage) -> bytes:
        """The events behind the parts, up to where `[DONE]` follows."""

    def whole(self, parts: Sequence[Part], reason: str, usage: Usage) -> bytes:
        """The body of an answer that is not streamed."""


def reason_of(finish: Finish, *, has_calls: bool) -> str:
    """OpenAI's `finish_reason`."""
    return CALLED if has_calls and finish is Finish.STOP else finish.value


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

    def first(self, part: Part) -> bytes:
        return self._events.choice('"delta":{"role":"assistant",' + _delta(part) + "}")

    def part(self, part: Part) -> bytes:
        return self._events.choice('"delta":{' + _delta(part) + "}")

    def end(self, reason: str, usage: Usage) -> bytes:
        return self._events.choice('"delta":{}', reason) + self._events.usage(usage)

    def whole(self, parts: Sequence[Part], reason: str, usage: Usage) -> bytes:
        choice = ChatChoice.model_validate(
            {"index": 0, "message": _message(parts), "finish_reason": reason}
        )
        answer = ChatAnswer(
            id=self._head.id,
            created=self._head.created,
            model=self._head.model,
            system_fingerprint=self._head.system_fingerprint,
            choices=[choice],
            usage=usage,
        )
        absent = {name for name in OPTIONAL if getattr(choice.message, name) is None}
        left_out = {"choices": {"__all__": {"message": absent}}}
        return answer.model_dump_json(exclude=left_out).encode()


class CompletionFrames:
    """Each event has some text; the finish event's is empty."""

    def __init__(self, head: Head, *, include_usage: bool) -> None:
        self._head = head
        self._events = _Events(head, "text_completion", include_usage)

    def first(self, part: Part) -> bytes:
        return self.part(part) if _text(part) else b""

    def part(self, part: Part) -> bytes:
        return self._events.choice('"text":' + json.dumps(_text(part)))

    def end(self, reason: str, usage: Usage) -> bytes:
        return self._events.choice('"text":""', reason) + self._events.usage(usage)

    def whole(self, parts: Sequence[Part], reason: str, usage: Usage) -> bytes:
        text = "".join(map(_text, parts))
        choice = CompletionChoice.model_validate(
            {"index": 0, "text": text, "finish_reason": reason}
        )
        answer = CompletionAnswer(
            id=self._head.id,
            created=self._head.created,
            model=self._head.model,
            system_fingerprint=self._head.system_fingerprint,
            choices=[choice],
            usage=usage,
        )
        return answer.model_dump_json().encode()


OPTIONAL = ("reasoning_content", "tool_calls")
"""Members of a message that are left out where there is nothing to say."""


def _text(part: Part) -> str:
    assert isinstance(part, Content), "a completion has nothing else"
    return part.text


def _delta(part: Part) -> str:
    """The members that a part adds to a message."""
    match part:
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


def _message(parts: Sequence[Part]) -> ChatMessage:
    """All parts of an answer as one message; its content is null beside calls alone."""
    content = "".join(part.text for part in parts if isinstance(part, Content))
    thought = "".join(part.text for part in parts if isinstance(part, Reasoning))
    calls = [_made(part, parts) for part in parts if isinstance(part, Call)]
    return ChatMessage(
        content=content if content or not calls else None,
        reasoning_content=thought or None,
        tool_calls=calls or None,
    )


def _made(call: Call, parts: Sequence[Part]) -> MadeCall:
    pieces = (part for part in parts if isinstance(part, Arguments) and part.index == call.index)
    arguments = "".join(piece.text for piece in pieces)
    return MadeCall(id=call.id, function=MadeFunction(name=call.name, arguments=arguments))


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

    def choice(self, part: str, reason: str | None = None) -> bytes:
        ends = f',"logprobs":null,"finish_reason":{json.dumps(reason)}}}]'
        return (self._before + '{"index":0,' + part + ends + self._after).encode("ascii")

    def usage(self, usage: Usage) -> bytes:
        """The last event, if asked for; it has no choice."""
        if not self._include_usage:
            return b""
        return f'{self._before}],"usage":{usage.model_dump_json()}}}\n\n'.encode("ascii")
