"""A small client for any OpenAI address: list models, stream a chat.

Errors are the classes of `cloister.errors`, read from OpenAI's error body, so that a caller tells a
full queue from a wrong key by type. The client keeps nothing of what it sends or receives.
"""

import json
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import asdict, dataclass, field
from types import TracebackType
from typing import Any, Literal, Self
from urllib.parse import urlsplit

import httpx

from cloister.errors import BadSettings, InternalError, Unavailable
from cloister.refusals import error_in, error_of
from cloister.sse import Parser

Role = Literal["system", "user", "assistant"]

CONNECT_TIMEOUT_S = 5.0
LIST_TIMEOUT_S = 10.0
BURST_S = 0.05


class Unreachable(Unavailable):
    """Nothing answers at the address."""

    default_code = "unreachable"


class Interrupted(InternalError):
    """The stream broke off; what was received before it stays valid."""

    default_code = "interrupted"


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation. The content stays out of `repr`."""

    role: Role
    content: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Options:
    """How to generate. None leaves a choice to the server, and is not sent."""

    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    max_tokens: int | None = None
    seed: int | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None

    def members(self) -> dict[str, float | int]:
        """The chosen ones, as members of an OpenAI request."""
        return {name: value for name, value in asdict(self).items() if value is not None}


@dataclass(frozen=True, slots=True)
class Chat:
    """A conversation that waits for its next answer."""

    model: str
    messages: tuple[Message, ...]
    options: Options = Options()

    def body(self) -> dict[str, Any]:
        """The JSON body of `POST /chat/completions`, streamed, with usage at the end."""
        return {
            "model": self.model,
            "messages": [asdict(message) for message in self.messages],
            "stream": True,
            "stream_options": {"include_usage": True},
            **self.options.members(),
        }


@dataclass(frozen=True, slots=True)
class Delta:
    """A piece of the answer, `at_s` seconds after the request was sent."""

    text: str = field(repr=False)
    at_s: float


@dataclass(frozen=True, slots=True)
class Usage:
    """The server's own count of tokens."""

    prompt_tokens: int
    generated_tokens: int


@dataclass(frozen=True, slots=True)
class Summary:
    """How an answer ended: always the last thing of a complete stream.

    `first_s` is the time to the first text (None: there was none), `total_s` to the end; `usage` is
    None where the server counts nothing.
    """

    finish: str
    usage: Usage | None
    first_s: float | None
    total_s: float

    @property
    def tokens_per_s(self) -> float | None:
        """Tokens after the first, by the time they took. None below two tokens.

        An answer that came in one burst took no time after its first token; then all counts.
        """
        if self.usage is None or self.first_s is None or self.usage.generated_tokens < 2:
            return None
        elapsed_s = self.total_s - self.first_s
        if elapsed_s < BURST_S:
            return self.usage.generated_tokens / self.total_s
        return (self.usage.generated_tokens - 1) / elapsed_s


def base_url(url: str) -> str:
    """`url` as the client uses it. Raises `BadSettings` if it is no HTTP address."""
    try:
        parts = urlsplit(url)
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        valid = False
    if not valid:
        raise BadSettings(f"{url!r} is no address like http://127.0.0.1:8000/v1")
    return url.rstrip("/") if parts.path.strip("/") else f"{url.rstrip('/')}/v1"


class Client:
    """Speaks to one OpenAI address: `http://127.0.0.1:8000/v1`, or without a path, meaning `/v1`.

    Use it in `async with`. One client serves many chats at once and shares their connections.
    """

    def __init__(
        self, url: str, api_key: str = "", transport: httpx.AsyncBaseTransport | None = None
    ) -> None:
        self.url = base_url(url)
        headers = {"authorization": f"Bearer {api_key}"} if api_key else {}
        self._http = httpx.AsyncClient(
            headers=headers,
            timeout=httpx.Timeout(None, connect=CONNECT_TIMEOUT_S),
            limits=httpx.Limits(max_connections=None),
            transport=transport,
            trust_env=False,  # prompts never take a proxy that someone left in the environment
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._http.aclose()

    async def models(self) -> tuple[str, ...]:
        """The ids of the models on offer, in the server's order."""
        return tuple(await self.offers())

    async def offers(self) -> dict[str, str]:
        """Where each model on offer runs, by id; "" if the server does not tell."""
        try:
            response = await self._http.get(f"{self.url}/models", timeout=LIST_TIMEOUT_S)
        except httpx.HTTPError as error:
            raise self._unreachable() from error
        if response.is_error:
            raise error_of(response)
        try:
            offered = response.json()["data"]
            return {str(model["id"]): str(model.get("execution") or "") for model in offered}
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise Unavailable(f"{self.url} does not answer like an OpenAI server") from error

    async def chat(self, chat: Chat) -> AsyncGenerator[Delta | Summary, None]:
        """Stream an answer: deltas, then one summary.

        Closing the generator, or cancelling the task that awaits it, closes the connection, which
        is how a server learns to stop. Raises a `CloisterError` of the status before the first
        delta, `Interrupted` or what the server reports after it.
        """
        started = time.perf_counter()
        try:
            response = await self._http.send(self._request(chat), stream=True)
        except httpx.HTTPError as error:
            raise self._unreachable() from error
        try:
            if response.is_error:
                await response.aread()
                raise error_of(response)
            async with aclosing(_answer(response, started)) as answer:
                async for event in answer:
                    yield event
        except httpx.HTTPError as error:
            raise _broken() from error
        finally:
            await response.aclose()

    def _request(self, chat: Chat) -> httpx.Request:
        body = json.dumps(chat.body())  # ASCII, so that half a surrogate pair can travel too
        headers = {"content-type": "application/json"}
        url = f"{self.url}/chat/completions"
        return self._http.build_request("POST", url, content=body, headers=headers)

    def _unreachable(self) -> Unreachable:
        return Unreachable(f"nothing answers at {self.url}")


async def _answer(
    response: httpx.Response, started: float
) -> AsyncGenerator[Delta | Summary, None]:
    first_s: float | None = None
    finish: str | None = None
    usage: Usage | None = None
    async for chunk in _chunks(response.aiter_bytes()):
        at_s = time.perf_counter() - started
        usage = _usage(chunk) or usage
        for choice in chunk.get("choices") or ():
            finish = choice.get("finish_reason") or finish
            text = (choice.get("delta") or {}).get("content")
            if text:
                first_s = at_s if first_s is None else first_s
                yield Delta(text, at_s)
    if finish is None:
        raise _broken()
    yield Summary(finish, usage, first_s, time.perf_counter() - started)


async def _chunks(pieces: AsyncIterator[bytes]) -> AsyncIterator[dict[str, Any]]:
    """The JSON events of an OpenAI stream up to `[DONE]`. Raises what an error event reports."""
    parser = Parser()
    async for piece in pieces:
        for event in parser.feed(piece):
            if event.done:
                return
            chunk = _parse(event.data)
            if chunk.get("error"):
                raise error_in(chunk, 500)
            yield chunk


def _parse(data: str) -> dict[str, Any]:
    try:
        chunk = json.loads(data)
    except ValueError as error:
        raise _broken() from error
    if not isinstance(chunk, dict):
        raise _broken()
    return chunk


def _usage(chunk: dict[str, Any]) -> Usage | None:
    usage = chunk.get("usage")
    if not usage:
        return None
    return Usage(usage.get("prompt_tokens", 0), usage.get("completion_tokens", 0))


def _broken() -> Interrupted:
    return Interrupted("the stream broke off before the answer was complete")
