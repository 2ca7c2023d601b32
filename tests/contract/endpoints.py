"""Each endpoint as the oracle sees it: how to ask through the SDK, and what its stream must be.

An endpoint is one class. `ask` drives the SDK to the end of the answer and raises `Fault` where the
SDK raises an error; `check` reads the bytes below, knowing whether the answer ended in an error.
"""

import json
from typing import Any, ClassVar, Protocol

import openai
from openai.lib.streaming.chat import ChatCompletionStreamState
from openai.types import Completion

from tests.contract.fault import Fault, openai_s
from tests.contract.heard import Heard
from tests.contract.messages import Messages
from tests.contract.rig import MODEL, Rig

WITH_USAGE = {"include_usage": True}


class Endpoint(Protocol):
    """`prompt` is taken as the words of a user, or as the text to continue."""

    name: str
    fills_context: bool
    """Without a limit, an answer may go on until the context is full."""

    async def ask(self, rig: Rig, heard: Heard, prompt: str, **limits: Any) -> None:
        """Stream an answer to its end. Strict: a member of a wrong type raises."""

    async def ask_whole(self, rig: Rig, prompt: str, **limits: Any) -> Heard:
        """The same answer at once."""

    def check(self, stream: bytes, *, failed: bool) -> None:
        """Frames, their order and the terminal one."""

    def is_told(self, fault: Fault, kind: str, code: str) -> bool:
        """Is this how an error of ours, of this type and code, is called here?"""


class Chat:
    name = "chat"
    fills_context = True

    async def ask(self, rig: Rig, heard: Heard, prompt: str, **limits: Any) -> None:
        with openai_s():
            state = ChatCompletionStreamState()
            async with await rig.openai.chat.completions.create(
                model=MODEL,
                messages=_said(prompt),
                stream=True,
                stream_options=WITH_USAGE,
                **limits,
            ) as stream:
                async for chunk in stream:
                    state.handle_chunk(chunk)
                    for choice in chunk.choices:
                        heard.add(choice.delta.content)
            final = state.current_completion_snapshot
            assert final.choices[0].message.content == heard.text
            assert final.choices[0].message.role == "assistant"
            heard.finish, heard.usage = final.choices[0].finish_reason, _counts(final.usage)

    async def ask_whole(self, rig: Rig, prompt: str, **limits: Any) -> Heard:
        with openai_s():
            answer = await rig.openai.chat.completions.create(
                model=MODEL, messages=_said(prompt), **limits
            )
            choice = answer.choices[0]
            return Heard([choice.message.content], choice.finish_reason, _counts(answer.usage))

    def check(self, stream: bytes, *, failed: bool) -> None:
        check_openai_frames(stream, "chat.completion.chunk", failed=failed)

    def is_told(self, fault: Fault, kind: str, code: str) -> bool:
        return (fault.kind, fault.code) == (kind, code)


class Completions:
    name = "completions"
    fills_context = False

    async def ask(self, rig: Rig, heard: Heard, prompt: str, **limits: Any) -> None:
        with openai_s():
            # OpenAI's streams say `"finish_reason": null` until the end; its SDK's type forgets it.
            loose = rig.openai.with_options()
            loose._strict_response_validation = False
            async with await loose.completions.create(
                model=MODEL, prompt=prompt, stream=True, stream_options=WITH_USAGE, **limits
            ) as stream:
                async for chunk in stream:
                    _check_strictly(chunk)
                    for choice in chunk.choices:
                        heard.add(choice.text)
                        heard.finish = choice.finish_reason or heard.finish
                    heard.usage = _counts(chunk.usage) if chunk.usage else heard.usage

    async def ask_whole(self, rig: Rig, prompt: str, **limits: Any) -> Heard:
        with openai_s():
            answer = await rig.openai.completions.create(model=MODEL, prompt=prompt, **limits)
            choice = answer.choices[0]
            return Heard([choice.text], choice.finish_reason, _counts(answer.usage))

    def check(self, stream: bytes, *, failed: bool) -> None:
        check_openai_frames(stream, "text_completion", failed=failed)

    def is_told(self, fault: Fault, kind: str, code: str) -> bool:
        return (fault.kind, fault.code) == (kind, code)


class Responses:
    """A worker tells of a failure in `response.failed`, which has codes of its own and no type.

    What breaks between controller and worker is an error event, as on all endpoints.
    """

    name = "responses"
    fills_context = True
    finishes: ClassVar = {"response.completed": "stop", "response.incomplete": "length"}

    async def ask(self, rig: Rig, heard: Heard, prompt: str, **limits: Any) -> None:
        with openai_s():
            async with await rig.openai.responses.create(
                model=MODEL, input=prompt, stream=True, store=False, **_output(limits)
            ) as stream:
                async for event in stream:
                    if event.type == "response.output_text.delta":
                        heard.add(event.delta)
                    elif event.type in self.finishes:
                        assert event.response.output_text == heard.text
                        heard.finish = self.finishes[event.type]
                        heard.usage = _spent(event.response.usage)
                    elif event.type == "response.failed":
                        error = event.response.error
                        told = {"type": None, "code": error.code}
                        raise openai.APIError(error.message, stream.response.request, body=told)

    async def ask_whole(self, rig: Rig, prompt: str, **limits: Any) -> Heard:
        with openai_s():
            answer = await rig.openai.responses.create(
                model=MODEL, input=prompt, store=False, **_output(limits)
            )
            finish = self.finishes[f"response.{answer.status}"]
            return Heard([answer.output_text], finish, _spent(answer.usage))

    def check(self, stream: bytes, *, failed: bool) -> None:
        *told, done = typed_lines(stream)
        assert done == "[DONE]"
        bodies = [json.loads(one) for one in told]
        last = bodies.pop()
        if "type" not in last:
            check_error(last)
        else:
            assert last["type"] in (("response.failed",) if failed else self.finishes)
        kinds = [body["type"] for body in bodies]
        assert kinds[:2] == ["response.created", "response.in_progress"][: len(kinds)]
        assert not {*kinds} & {*self.finishes, "response.failed"}
        assert [body["sequence_number"] for body in bodies] == list(range(len(bodies)))

    def is_told(self, fault: Fault, kind: str, code: str) -> bool:
        by_worker = fault.status is None and code != "worker_failed"
        return (fault.kind, fault.code) == ((None, "server_error") if by_worker else (kind, code))


ENDPOINTS: tuple[Endpoint, ...] = (Chat(), Completions(), Responses(), Messages())


def check_openai_frames(stream: bytes, kind: str, *, failed: bool) -> None:
    """The streams of chat and completions, one choice, usage asked for."""
    *chunks, done = data_lines(stream)
    assert done == "[DONE]"
    told = [json.loads(chunk) for chunk in chunks]
    if failed:
        check_error(told.pop())
    finishes = [choice["finish_reason"] for chunk in told for choice in chunk["choices"]]
    assert sum(finish is not None for finish in finishes) == (0 if failed else 1)
    assert {chunk["object"] for chunk in told} <= {kind}
    assert len({(chunk["id"], chunk["created"], chunk["model"]) for chunk in told}) <= 1
    if not failed:
        last = told.pop()
        assert last["choices"] == []
        assert last["usage"]["total_tokens"] > 0
    assert all(chunk["usage"] is None and chunk["choices"] for chunk in told)
    assert all("error" not in chunk for chunk in told)


def check_error(body: dict[str, Any]) -> None:
    """OpenAI's error body, all four members, and nothing else."""
    assert set(body) == {"error"}
    assert set(body["error"]) == {"message", "type", "param", "code"}
    assert "secret" not in body["error"]["message"]


def data_lines(stream: bytes) -> list[str]:
    """The data of all events; comments are left out, anything else is a fault."""
    assert stream.endswith(b"\n\n"), "the last event must be whole"
    blocks = stream.decode("utf-8").removesuffix("\n\n").split("\n\n")
    events = [block for block in blocks if not block.startswith(": ")]
    assert all(event.startswith("data: ") and "\n" not in event for event in events)
    return [event.removeprefix("data: ") for event in events]


def typed_lines(stream: bytes) -> list[str]:
    """The data of events that may have names: each is the type within its data."""
    assert stream.endswith(b"\n\n"), "the last event must be whole"
    found = []
    for block in stream.decode("utf-8").removesuffix("\n\n").split("\n\n"):
        name, _, data = block.rpartition("\n") if block.startswith("event: ") else ("", "", block)
        if not block.startswith(": "):
            found.append(data.removeprefix("data: "))
            assert not name or json.loads(found[-1])["type"] == name.removeprefix("event: ")
    return found


def _output(limits: dict[str, Any]) -> dict[str, Any]:
    return {"max_output_tokens": limits["max_tokens"]} if limits else {}


def _spent(usage: Any) -> tuple[int, int]:
    assert usage.total_tokens == usage.input_tokens + usage.output_tokens
    return usage.input_tokens, usage.output_tokens


def _check_strictly(chunk: Completion) -> None:
    """As the SDK's strict mode, but that an unfinished choice may say so."""
    members = chunk.to_dict()
    choices: Any = members["choices"]
    for choice in choices:
        choice["finish_reason"] = choice["finish_reason"] or "stop"
    Completion.model_validate(members, strict=True)


def _said(prompt: str) -> Any:
    return [{"role": "user", "content": prompt}]


def _counts(usage: Any) -> tuple[int, int]:
    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens
    return usage.prompt_tokens, usage.completion_tokens
