"""Servers with one planted fault each: a good app, and what is done to requests or answers."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send


@dataclass(frozen=True)
class Answer:
    """What the good app answered."""

    status: int
    headers: list[tuple[bytes, bytes]] = field(repr=False)
    body: bytes

    def text(self, change: Callable[[str], str]) -> "Answer":
        return Answer(self.status, self.headers, change(self.body.decode()).encode())


Change = Callable[[Answer], Answer]
Ask = Callable[[dict[str, Any]], dict[str, Any]]


def as_it_is(value: Any) -> Any:
    return value


class Faulty:
    """`asked` changes the members of each request, `answered` each whole answer."""

    def __init__(self, app: ASGIApp, asked: Ask = as_it_is, answered: Change = as_it_is) -> None:
        self._app = app
        self._asked = asked
        self._answered = answered

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = self._changed(await _read(receive))
        heard: list[Message] = []

        async def given() -> Message:
            return {"type": "http.request", "body": body, "more_body": False}

        async def keep(message: Message) -> None:
            heard.append(message)

        headers = [pair for pair in scope["headers"] if pair[0] != b"content-length"]
        await self._app({**scope, "headers": headers}, _once(given), keep)
        pieces = b"".join(message.get("body", b"") for message in heard[1:])
        answer = self._answered(Answer(heard[0]["status"], heard[0]["headers"], pieces))
        headers = [pair for pair in answer.headers if pair[0] != b"content-length"]
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        await send({"type": "http.response.body", "body": answer.body})

    def _changed(self, body: bytes) -> bytes:
        try:
            members = json.loads(body)
        except ValueError:
            return body
        return json.dumps(self._asked(members)).encode() if isinstance(members, dict) else body


def drop(*names: str) -> Ask:
    """A server that does not know these fields, and says nothing."""
    return lambda members: {name: value for name, value in members.items() if name not in names}


def replace(old: str, new: str, count: int = -1) -> Change:
    return lambda answer: answer.text(lambda text: text.replace(old, new, count))


def validation(answer: Answer) -> Answer:
    """FastAPI's own refusal in the place of OpenAI's."""
    if answer.status != 400:
        return answer
    return Answer(422, answer.headers, b'{"detail": [{"msg": "no"}]}')


def _once(given: Callable[[], Any]) -> Receive:
    """The body, and then nothing: nobody leaves."""
    left = [given]

    async def receive() -> Message:
        if left:
            return await left.pop()()
        await asyncio.Event().wait()
        raise AssertionError("nobody leaves")

    return receive


async def _read(receive: Receive) -> bytes:
    pieces = []
    while True:
        message = await receive()
        pieces.append(message.get("body", b""))
        if not message.get("more_body"):
            return b"".join(pieces)
