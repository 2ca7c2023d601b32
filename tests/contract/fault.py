"""What an SDK raises where a request fails, whichever SDK it is."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import anthropic
import openai


class Fault(Exception):
    """`status` is None where the answer had begun; Anthropic's errors have no code."""

    def __init__(
        self,
        error: Exception,
        kind: str | None,
        code: str | None,
        status: int | None,
        headers: Mapping[str, str],
    ) -> None:
        super().__init__(str(error))
        self.kind = kind
        self.code = code
        self.status = status
        self.headers = headers


@contextmanager
def openai_s() -> Iterator[None]:
    """Raises `Fault` where OpenAI's SDK raises an error of its own."""
    try:
        yield
    except openai.APIStatusError as error:
        headers = error.response.headers
        raise Fault(error, error.type, error.code, error.status_code, headers) from error
    except openai.APIError as error:
        raise Fault(error, error.type, error.code, None, {}) from error


@contextmanager
def anthropic_s() -> Iterator[None]:
    """The same of Anthropic's, whose errors within a stream have the stream's status."""
    try:
        yield
    except anthropic.APIStatusError as error:
        raise _fault_of(error) from error


def _fault_of(error: anthropic.APIStatusError) -> Fault:
    body: Any = error.body
    has_begun = error.status_code < 400
    assert set(body) == {"type", "error"} | (set() if has_begun else {"request_id"})
    assert has_begun or body["request_id"] == error.request_id
    assert set(body["error"]) == {"type", "message"}
    status = None if has_begun else error.status_code
    return Fault(error, body["error"]["type"], None, status, error.response.headers)
