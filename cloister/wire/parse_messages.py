"""A body in Anthropic's form into its wire type; whatever is wrong becomes one `BadRequest`.

As Anthropic's own, the message begins with the field's path, written `messages.0.content`.
"""

from typing import Any, TypeVar

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from cloister.errors import BadRequest
from cloister.wire.messages import CountRequest, MessageRequest, ToolResultBlock, ToolUseBlock
from cloister.wire.parse import parse_object

Wire = TypeVar("Wire", bound=CountRequest)

SHOWN = 64  # characters of a made-up name that an error repeats at most
WORDS = {
    "extra_forbidden": "is not supported, or no field at all",
    "missing": "is required",
    "none_required": "is not supported; leave it out",
}


def parse_message(body: bytes) -> MessageRequest:
    """The body of `POST /v1/messages`. Raises `BadRequest`."""
    wire = _parsed(MessageRequest, parse_object(body))
    budget = getattr(wire.thinking, "budget_tokens", 0)
    if budget >= wire.max_tokens:
        reason = f"{budget} must be less than max_tokens, which is {wire.max_tokens}"
        raise _refusal("thinking.budget_tokens", reason)
    return wire


def parse_count(body: bytes) -> CountRequest:
    """The body of `POST /v1/messages/count_tokens`. Raises `BadRequest`."""
    return _parsed(CountRequest, parse_object(body))


def _parsed(kind: type[Wire], members: dict[str, Any]) -> Wire:
    try:
        wire = kind.model_validate(members)
    except ValidationError as error:
        raise _explain(error.errors(include_url=False)[0], members) from None
    _check_order(wire)
    return wire


def _check_order(wire: CountRequest) -> None:
    """Results follow their calls, and the model does not speak twice."""
    made: set[str] = set()
    for place, message in enumerate(wire.messages):
        blocks = () if isinstance(message.content, str) else message.content
        for at, block in enumerate(blocks):
            if isinstance(block, ToolUseBlock):
                made.add(block.id)
            if isinstance(block, ToolResultBlock) and block.tool_use_id not in made:
                path = f"messages.{place}.content.{at}.tool_use_id"
                raise _refusal(path, "no tool_use block before it has this id")
    if wire.messages[-1].role == "assistant":
        reason = "must not be the assistant's; an answer cannot be begun for the model"
        raise _refusal(f"messages.{len(wire.messages) - 1}.role", reason)


def _explain(fault: ErrorDetails, members: dict[str, Any]) -> BadRequest:
    path = _path(fault, members)
    context = fault.get("ctx", {})
    tag = context.get("discriminator", "").strip("'")
    match fault["type"]:
        case "union_tag_invalid":
            given = repr(str(context["tag"])[:SHOWN])
            known = context["expected_tags"]
            return _refusal(f"{path}.{tag}", f"{given} is not supported; supported: {known}")
        case "union_tag_not_found":
            return _refusal(f"{path}.{tag}", "is required")
    return _refusal(path, WORDS.get(fault["type"], fault["msg"]))


def _path(fault: ErrorDetails, members: dict[str, Any]) -> str:
    """Where a fault is, as `messages.0.content`.

    Pydantic also tells which form of a value it took: a message's role, a block's type.
    """
    shown: list[str] = []
    value: Any = members
    *outer, last = fault["loc"]
    for part in outer:
        if _holds(value, part) and not _is_type(value, part):
            shown.append(str(part)[:SHOWN])
            value = value[part]
    if _holds(value, last) or fault["type"] == "missing":
        shown.append(str(last)[:SHOWN])
    return ".".join(shown)


def _holds(value: Any, part: int | str) -> bool:
    return isinstance(value, list if isinstance(part, int) else dict) and (
        isinstance(part, int) or part in value
    )


def _is_type(value: Any, part: int | str) -> bool:
    return isinstance(value, dict) and part in (value.get("type"), value.get("role"))


def _refusal(path: str, reason: str) -> BadRequest:
    return BadRequest(f"{path}: {reason}", param=path)
