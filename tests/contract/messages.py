"""`/v1/messages` as the oracle sees it, through Anthropic's SDK and its accumulator."""

import json
from typing import Any, ClassVar

from anthropic.types import Message

from cloister.sse import Parser
from tests.contract.fault import Fault, anthropic_s
from tests.contract.heard import Heard
from tests.contract.rig import MODEL, Rig

LIMIT = 40
"""Anthropic's API wants one with each request."""


class Messages:
    """Errors have types of Anthropic's own, and no codes."""

    name = "messages"
    fills_context = False
    finishes: ClassVar = {"end_turn": "stop", "max_tokens": "length"}
    kinds: ClassVar = {
        "no_worker": "overloaded_error",
        "worker_failed": "overloaded_error",
        "internal_error": "api_error",
        "deadline_exceeded": "timeout_error",
        "overloaded": "rate_limit_error",
        "context_length_exceeded": "invalid_request_error",
    }

    async def ask(self, rig: Rig, heard: Heard, prompt: str, **limits: Any) -> None:
        with anthropic_s():
            async with rig.anthropic.messages.stream(**_asked(prompt, limits)) as stream:
                async for event in stream:
                    if event.type == "text":
                        heard.add(event.text)
                final = self._heard(await stream.get_final_message())
        assert final.text == heard.text
        heard.finish, heard.usage = final.finish, final.usage

    async def ask_whole(self, rig: Rig, prompt: str, **limits: Any) -> Heard:
        with anthropic_s():
            return self._heard(await rig.anthropic.messages.create(**_asked(prompt, limits)))

    def check(self, stream: bytes, *, failed: bool) -> None:
        assert stream.endswith(b"\n\n"), "the last event must be whole"
        events = list(Parser().feed(stream))
        bodies = [json.loads(event.data) for event in events]
        assert [event.name for event in events] == [body["type"] for body in bodies]
        *kinds, last = [body["type"] for body in bodies if body["type"] != "ping"]
        assert last == ("error" if failed else "message_stop")
        if failed:
            assert set(bodies[-1]) == {"type", "error"}
        else:
            *kinds, closed, told = kinds
            assert (closed, told) == ("content_block_stop", "message_delta")
        assert kinds[:2] == ["message_start", "content_block_start"][: len(kinds)]
        assert set(kinds[2:]) <= {"content_block_delta"}

    def is_told(self, fault: Fault, kind: str, code: str) -> bool:
        return (fault.kind, fault.code) == (self.kinds[code], None)

    def _heard(self, message: Message) -> Heard:
        assert message.role == "assistant"
        assert message.stop_reason is not None
        texts = [block.text for block in message.content if block.type == "text"]
        usage = (message.usage.input_tokens, message.usage.output_tokens)
        return Heard(texts, self.finishes[message.stop_reason], usage)


def _asked(prompt: str, limits: dict[str, Any]) -> dict[str, Any]:
    said = [{"role": "user", "content": prompt}]
    return {"model": MODEL, "messages": said, "max_tokens": LIMIT, **limits}
