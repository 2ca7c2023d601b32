"""The server under test, as plain HTTP: what it is asked and what it answers, nothing judged."""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Reply:
    """A whole answer."""

    status: int
    headers: httpx.Headers
    body: bytes = field(repr=False)

    @property
    def json(self) -> Any:
        """The body's value; None where it is no JSON."""
        try:
            return json.loads(self.body)
        except ValueError:
            return None

    @property
    def type(self) -> str:
        """The media type without parameters."""
        return str(self.headers.get("content-type", "")).partition(";")[0].strip().lower()


@dataclass(frozen=True, slots=True)
class Server:
    """`root` is the address without `/v1`; `model` is what most checks ask for.

    `context_length` is in tokens, 0 if only the server may know it.
    """

    http: httpx.AsyncClient
    url: str
    model: str
    api_key: str = field(default="", repr=False)
    context_length: int = 0

    @property
    def root(self) -> str:
        return self.url.removesuffix("/v1")

    async def get(self, path: str) -> Reply:
        return _reply(await self.http.get(self._at(path), headers=self._headers()))

    async def post(self, path: str, body: Json | bytes, *, key: str | None = None) -> Reply:
        """`key` takes the place of the server's own; empty for none."""
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        headers = {**self._headers(key), "content-type": "application/json"}
        return _reply(await self.http.post(self._at(path), content=content, headers=headers))

    @asynccontextmanager
    async def open(self, path: str, body: Json) -> AsyncIterator[AsyncIterator[bytes]]:
        """Pieces of an answer as they come; leaving closes the connection."""
        request = self.http.stream("POST", self._at(path), json=body, headers=self._headers())
        async with request as response:
            yield response.aiter_bytes()

    def chat(self, text: str, **fields: Any) -> Json:
        """The body of a chat of one message."""
        messages = [{"role": "user", "content": text}]
        return {"model": self.model, "messages": messages, "max_tokens": 24, **fields}

    def completion(self, prompt: Any, **fields: Any) -> Json:
        return {"model": self.model, "prompt": prompt, "max_tokens": 12, **fields}

    def _at(self, path: str) -> str:
        """A path below `/v1`, or one of the root where it begins with two slashes."""
        return self.root + path[1:] if path.startswith("//") else self.url + path

    def _headers(self, key: str | None = None) -> Mapping[str, str]:
        shown = self.api_key if key is None else key
        return {"authorization": f"Bearer {shown}"} if shown else {}


def _reply(response: httpx.Response) -> Reply:
    return Reply(response.status_code, response.headers, response.content)
