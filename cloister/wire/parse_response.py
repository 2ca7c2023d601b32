"""The body of `POST /v1/responses` into its wire type.

Items are read one by one, each as the type that it names, so that a fault is told in that type's
words and not in those of all others.
"""

from typing import Any, get_args

from cloister.errors import BadRequest
from cloister.wire import unsupported
from cloister.wire.chat import TextFormat
from cloister.wire.parse import not_yet, parse_object, short, validated
from cloister.wire.response import (
    LOGPROBS,
    AskedCall,
    AskedItem,
    AskedMessage,
    AskedReasoning,
    AskedResult,
    ResponseRequest,
)
from cloister.wire.response_items import Role

ITEMS: dict[str, type[AskedItem]] = {
    "message": AskedMessage,
    "function_call": AskedCall,
    "function_call_output": AskedResult,
    "reasoning": AskedReasoning,
}
TEXTS = ("input_text", "output_text")
PARTS = {"reasoning": ("reasoning_text", "summary_text")}
ROLES = get_args(Role)


def parse_response(body: bytes) -> ResponseRequest:
    """Raises `BadRequest`."""
    members = unsupported.without(parse_object(body), unsupported.RESPONSE)
    for name, neutral in unsupported.RESPONSE_INNER.items():
        if isinstance(members.get(name), dict):
            members[name] = unsupported.without(members[name], neutral, f"{name}.")
    if isinstance(items := members.get("input"), list):
        members["input"] = [_item(item, f"input[{at}]") for at, item in enumerate(items)]
    if isinstance(tools := members.get("tools"), list):
        members["tools"] = [_tool(tool, f"tools[{at}]") for at, tool in enumerate(tools)]
    _check_choice(members.get("tool_choice"))
    request = validated(ResponseRequest, members)
    _check_together(request)
    return request


def _item(item: Any, path: str) -> AskedItem:
    if not isinstance(item, dict):
        raise BadRequest(f"{path}: must be an object", param=path)
    kind = item.get("type", "message" if "role" in item else None)
    if not isinstance(kind, str):
        known = ", ".join(ITEMS)
        raise BadRequest(f"{path}.type: must be one of {known}", param=f"{path}.type")
    if kind not in ITEMS:
        raise _unknown_type(f"{path}.type", kind, f"items are {', '.join(ITEMS)}")
    members = unsupported.without({**item, "type": kind}, unsupported.ITEM, f"{path}.")
    _check_role(members, path)
    for name in ("content", "output", "summary"):
        if isinstance(parts := members.get(name), list):
            kinds = PARTS.get(kind, TEXTS)
            members[name] = [
                _part(part, f"{path}.{name}[{at}]", kinds) for at, part in enumerate(parts)
            ]
    return validated(ITEMS[kind], members, f"{path}.")


def _check_role(members: dict[str, Any], path: str) -> None:
    role = members.get("role")
    if isinstance(role, str) and role not in ROLES:
        message = f"{path}.role: unknown role {short(role)}; known roles: {', '.join(ROLES)}"
        raise BadRequest(message, param=f"{path}.role")


def _part(part: Any, path: str, known: tuple[str, ...]) -> Any:
    if not isinstance(part, dict):
        return part
    kind = part.get("type")
    if isinstance(kind, str) and kind not in known:
        raise _unknown_type(f"{path}.type", kind, f"send {' or '.join(known)}")
    return unsupported.without(part, unsupported.ITEM_PART, f"{path}.")


def _tool(tool: Any, path: str) -> Any:
    if not isinstance(tool, dict):
        return tool
    kind = tool.get("type")
    if isinstance(kind, str) and kind != "function":
        raise _unknown_type(f"{path}.type", kind, "tools are functions")
    return unsupported.without(tool, unsupported.FUNCTION_TOOL, f"{path}.")


def _check_choice(choice: Any) -> None:
    kind = choice.get("type") if isinstance(choice, dict) else None
    if isinstance(kind, str) and kind != "function":
        raise _unknown_type("tool_choice.type", kind, "only a function can be named")


def _unknown_type(param: str, kind: str, hint: str) -> BadRequest:
    return not_yet(param, f"{param}: {short(kind)} is not supported; {hint}")


def _check_together(request: ResponseRequest) -> None:
    if request.stream_options is not None and not request.stream:
        raise BadRequest("stream_options: allowed only with stream: true", param="stream_options")
    if request.top_logprobs and not request.include:
        message = f'top_logprobs: allowed only with include: ["{LOGPROBS}"]'
        raise BadRequest(message, param="top_logprobs")
    if request.structured_outputs and not isinstance(request.format, TextFormat | None):
        message = "structured_outputs: give this or text.format, not both"
        raise BadRequest(message, param="structured_outputs")
