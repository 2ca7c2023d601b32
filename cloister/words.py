"""What people are told about answers and errors, in the page and in the terminal."""

from cloister.client import Interrupted, Summary, Unreachable
from cloister.errors import (
    Busy,
    CloisterError,
    ContextExceeded,
    InternalError,
    NotFound,
    Unauthorized,
    Unavailable,
)


def failure(error: CloisterError, *, begun: bool) -> str:
    """Why there is no answer, or no more of it, and what to do."""
    if begun:
        return f"The answer broke off: {_reason(error)} What came so far stays; retry asks again."
    return f"{_reason(error)} {_advice(error)}"


def numbers(summary: Summary | None, first_s: float | None) -> str:
    """Counts and times of an ended answer: `12 tokens · 30.1 tokens/s · …`.

    Without a summary the answer was stopped, or failed `first_s` after its beginning.
    """
    parts = []
    if summary is not None and summary.usage is not None:
        parts.append(_count(summary.usage.generated_tokens, "token"))
        if summary.tokens_per_s is not None:
            parts.append(f"{summary.tokens_per_s:.1f} tokens/s")
        parts.append(_count(summary.usage.prompt_tokens, "prompt token"))
    if first_s is not None:
        parts.append(f"first after {first_s:.2f} s")
    if summary is not None and summary.finish == "length":
        parts.append("cut at the token limit")
    return " · ".join(parts)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _reason(error: CloisterError) -> str:
    match error:
        case Unreachable():
            return "The model server cannot be reached."
        case Interrupted():
            return "The connection to the model ended."
        case Unavailable():
            return "The model is not available at the moment."
        case Busy():
            return "The model is busy with other requests."
        case Unauthorized():
            return "The model server does not accept the API key."
        case InternalError():
            return "The model server had an error."
        case _:
            return f"The request was refused: {error.message.rstrip('.')}."


def _advice(error: CloisterError) -> str:
    match error:
        case Busy(retry_after_s=1):
            return "Your question is kept; retry in a moment."
        case Busy():
            return f"Your question is kept; retry in {error.retry_after_s} seconds."
        case ContextExceeded():
            return "Clear the chat, or ask for less."
        case NotFound():
            return "Choose another model."
        case Unauthorized():
            return "It is set where this program is started."
        case Unavailable() | InternalError():
            return "Your question is kept; retry asks again."
        case _:
            return "Your question is kept; you can edit it."
