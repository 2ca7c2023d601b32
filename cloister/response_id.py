"""Ids of responses: `resp_`, the tag of the worker that may keep it, and a random rest.

A tag is random, made anew by each worker process, and says nothing but "the same worker".
"""

import re
import secrets

from cloister.errors import NotFound

FORM = re.compile(r"resp_([0-9a-f]{16})_[0-9a-f]{32}", re.ASCII)
PREVIOUS = "previous_response_id"


def new_tag() -> str:
    return secrets.token_hex(8)


def new_id(tag: str) -> str:
    """Not to be guessed."""
    return f"resp_{tag}_{secrets.token_hex(16)}"


def tag_of(id: str) -> str | None:
    """None if `id` is none of ours."""
    found = FORM.fullmatch(id)
    return found and found[1]


def not_found() -> NotFound:
    """The same words whether it never was, is gone, or is another tenant's."""
    message = "response_id: no such response is kept; it may have expired, or its worker is gone"
    return NotFound(message, param="response_id", code="response_not_found")


def previous_not_found() -> NotFound:
    message = f"{PREVIOUS}: no such response is kept; send its items in `input` instead"
    return NotFound(message, param=PREVIOUS, code="previous_response_not_found")
