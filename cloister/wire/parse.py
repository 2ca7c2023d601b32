"""A request's bytes into a wire type; whatever is wrong becomes one `BadRequest`.

Its message names the member, what is wrong and the limit. It never repeats a text of the client's,
except a name it made up for a member, a role or a part's type.
"""

import difflib
import json
from collections.abc import Iterable, Mapping
from itertools import pairwise
from typing import Any, NoReturn, TypeVar

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from cloister.errors import BadRequest
from cloister.wire import unsupported
from cloister.wire.base import (
    BIASES,
    STOP_LENGTH,
    STOP_STRINGS,
    Asked,
    Generation,
    StreamOptions,
    StructuredOutputs,
)
from cloister.wire.chat import (
    AnyMessage,
    AssistantMessage,
    ChatRequest,
    Function,
    FunctionName,
    JsonSchema,
    JsonSchemaFormat,
    NamedTool,
    TextPart,
    Tool,
    ToolMessage,
)
from cloister.wire.completion import SEQUENCES, CompletionRequest
from cloister.wire.embedding import EmbeddingRequest
from cloister.wire.response import ReasoningConfig, ResponseRequest, SchemaFormat, TextConfig

Wire = TypeVar("Wire", bound=Asked)

FORMS = ("str", "constrained-str", "bool", "NamedTool", "NamedFunction")
FORM_STARTS = ("list[", "constr", "dict[", "literal[")
ANSWER_FORMS = ("text", "json_object", "json_schema")
ROLES = ("system", "developer", "user", "assistant", "tool")
INNER: dict[str, tuple[type[Asked], ...]] = {
    "stream_options": (StreamOptions,),
    "structured_outputs": (StructuredOutputs,),
    "response_format": (JsonSchemaFormat, JsonSchema),
    "tools": (Tool, Function),
    "tool_choice": (NamedTool, FunctionName),
    "text": (TextConfig, SchemaFormat),
    "reasoning": (ReasoningConfig,),
}
"""The types inside a member, whose fields an unknown one may have meant."""

REST: dict[type[Asked], unsupported.Neutral] = {
    ChatRequest: unsupported.CHAT,
    CompletionRequest: unsupported.COMPLETION,
    ResponseRequest: unsupported.RESPONSE,
}
"""Members that we know, besides those of the type."""

WRONG_FORM = ("string_type", "list_type")  # pydantic's names of faults
MEMBERS = 1024  # in one JSON object at most, since each wrong one would make an error
FORMS_OF_MAPS = {
    "logit_bias": f"an object of at most {BIASES} token ids, each with a number from -100 to 100",
    "metadata": "an object of at most 16 names of up to 64 characters, each with up to 512",
}
"""What faults inside these members say: their names are the client's own."""
SHOWN = 64  # characters of a made-up name that an error repeats at most


def parse_chat(body: bytes) -> ChatRequest:
    """The body of `POST /v1/chat/completions`. Raises `BadRequest`."""
    members = unsupported.without(parse_object(body), unsupported.CHAT)
    request = validated(ChatRequest, with_messages(_without_inner(members)))
    _check_together(request)
    check_contents(request.messages)
    return request


def parse_completion(body: bytes) -> CompletionRequest:
    """The body of `POST /v1/completions`. Raises `BadRequest`."""
    members = unsupported.without(parse_object(body), unsupported.COMPLETION)
    request = validated(CompletionRequest, _without_inner(members))
    _check_together(request)
    return request


def parse_embedding(body: bytes) -> EmbeddingRequest:
    """The body of `POST /v1/embeddings`. Raises `BadRequest`."""
    return validated(EmbeddingRequest, parse_object(body))


def parse_object(body: bytes) -> dict[str, Any]:
    """A body that must be one JSON object (RFC 8259, so without NaN) of valid Unicode.

    A member given twice is refused: two readers could take different ones for the model's name.
    """
    try:
        text = body.decode("utf-8")
        value = json.loads(text, object_pairs_hook=_object, parse_constant=_refuse_constant)
    except UnicodeDecodeError as error:
        raise BadRequest(f"the body is not UTF-8, at byte {error.start}") from None
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise BadRequest(f"the body is not valid JSON at {place}: {error.msg}") from None
    except (RecursionError, ValueError):
        raise BadRequest("the body is not JSON that can be read: too deep or too large") from None
    if not isinstance(value, dict):
        raise BadRequest("the body must be a JSON object")
    _check_surrogates(body, value)
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(pairs) > MEMBERS:
        raise BadRequest(f"the body has an object of {len(pairs)} members; limit {MEMBERS}")
    if len(members) < len(pairs):
        raise BadRequest("the body has an object with the same member twice")
    return members


def _refuse_constant(name: str) -> NoReturn:
    raise BadRequest(f"the body is not valid JSON: {name} is no JSON number")


def _check_surrogates(body: bytes, value: dict[str, Any]) -> None:
    """JSON can write half of a surrogate pair, which is no character."""
    if b"\\u" not in body:
        return
    try:
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError:
        raise BadRequest("the body has half of a surrogate pair, as in \\ud83d alone") from None


def _without_inner(members: dict[str, Any]) -> dict[str, Any]:
    options = members.get("stream_options")
    if not isinstance(options, dict):
        return members
    rest = unsupported.without(options, unsupported.STREAM_OPTIONS, "stream_options.")
    return {**members, "stream_options": rest}


def with_messages(members: dict[str, Any]) -> dict[str, Any]:
    """`members`, those of each message less the neutral ones. Raises `BadRequest`."""
    messages = members.get("messages")
    if not isinstance(messages, list):
        return members
    known = [_message(item, place) for place, item in enumerate(messages)]
    return {**members, "messages": known}


def check_contents(messages: Iterable[AnyMessage]) -> None:
    """Raises `BadRequest` where a message says nothing."""
    for place, message in enumerate(messages):
        if message.content is None and not getattr(message, "tool_calls", None):
            param = f"messages[{place}].content"
            raise BadRequest(f"{param}: is required without tool_calls", param=param)


def _message(message: Any, place: int) -> Any:
    if not isinstance(message, dict):
        return message
    path = f"messages[{place}]."
    role = message.get("role")
    if role == "function":
        raise not_yet(f"{path}role", f"{path}role 'function' is not supported; use 'tool'")
    if isinstance(role, str) and role not in ROLES:
        known = ", ".join(ROLES)
        raise BadRequest(
            f"{path}role: unknown role {short(role)}; known roles: {known}", param=f"{path}role"
        )
    for part in message["content"] if isinstance(message.get("content"), list) else ():
        _check_part(part, f"{path}content")
    return unsupported.without(message, unsupported.MESSAGE, path)


def _check_part(part: Any, path: str) -> None:
    kind = part.get("type") if isinstance(part, dict) else None
    if isinstance(kind, str) and kind != "text":
        raise not_yet(path, f"{path}: parts of type {short(kind)} are not supported; send text")


def not_yet(param: str, message: str) -> BadRequest:
    """A refusal of what OpenAI knows and we do not do."""
    return BadRequest(message, param=param, code="unsupported_parameter")


def validated(wire: type[Wire], members: Mapping[str, Any], path: str = "") -> Wire:
    """The members as one `wire`, which stands at `path` in the body. Raises `BadRequest`."""
    try:
        return wire.model_validate(members)
    except ValidationError as error:
        raise _explain(wire, error.errors(include_url=False), path) from None


def _check_together(request: Generation) -> None:
    if request.stream_options is not None and not request.stream:
        raise BadRequest("stream_options: allowed only with stream: true", param="stream_options")
    if isinstance(request, ChatRequest) and request.top_logprobs and not request.logprobs:
        raise BadRequest("top_logprobs: allowed only with logprobs: true", param="top_logprobs")
    if isinstance(request, CompletionRequest):
        _check_completion(request)


def _check_completion(request: CompletionRequest) -> None:
    count, best_of = request.n or 1, request.best_of
    if request.max_tokens == 0 and not request.echo:
        raise BadRequest("max_tokens: 0 is allowed only with echo: true", param="max_tokens")
    if best_of is not None and best_of < count:
        raise BadRequest(f"best_of = {best_of}: must be at least n = {count}", param="best_of")
    if best_of is not None and best_of > 1 and request.stream:
        raise BadRequest("best_of: a stream cannot be ranked; at most 1", param="best_of")
    if (sequences := len(request.prompts) * request.candidates) > SEQUENCES:
        raise BadRequest(
            f"prompt: {len(request.prompts)} prompts with {request.candidates} choices each make"
            f" {sequences} sequences; at most {SEQUENCES} are allowed",
            param="prompt",
        )


def _explain(wire: type[Asked], faults: list[ErrorDetails], path: str) -> BadRequest:
    """The first fault; where a value may have several forms, the one that came nearest."""
    first = faults[0]["loc"][:1]
    fault = max((fault for fault in faults if fault["loc"][:1] == first), key=_nearness)
    param = path + _path(fault["loc"])
    for name, form in FORMS_OF_MAPS.items():
        if param.startswith(name):
            return BadRequest(f"{name}: must be {form}", param=name)
    if fault["type"] == "extra_forbidden":
        return _unknown(param, _known(wire, fault["loc"]))
    return BadRequest(f"{param}: {_what(fault, param)}", param=param)


def _nearness(fault: ErrorDetails) -> tuple[bool, int]:
    return fault["type"] not in WRONG_FORM, len(fault["loc"])


def _unknown(param: str, known: Iterable[str]) -> BadRequest:
    path, dot, name = param.rpartition(".")
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    hint = f"; did you mean {path}{dot}{near[0]}?" if near else ""
    shown = f"{path}{dot}{name[:SHOWN]}"
    return BadRequest(f"unknown field {shown}{hint}", param=shown, code="unknown_parameter")


def _known(wire: type[Asked], loc: tuple[int | str, ...]) -> list[str]:
    if len(loc) == 1:
        return [*wire.model_fields, *REST.get(wire, ())]
    if loc[0] == "messages":
        part = "content" in loc[:-1]
        message = [*AssistantMessage.model_fields, *ToolMessage.model_fields]
        return list(TextPart.model_fields) if part else message
    return [
        field.alias or name
        for model in INNER.get(str(loc[0]), ())
        for name, field in model.model_fields.items()
    ]


def _path(loc: tuple[int | str, ...]) -> str:
    """`("messages", 0, "user", "content", "str")` is `messages[0].content`."""
    path = str(loc[0]) if loc else ""
    for before, part in pairwise(loc):
        if isinstance(part, int):
            path += f"[{part}]"
        elif not _is_form(before, part):
            path += f".{part}"
    return path


def _is_form(before: int | str, part: str) -> bool:
    """Is this pydantic's name for one form of a value, instead of a member's name?"""
    after_role = isinstance(before, int) and part in ROLES
    after_format = before in ("response_format", "format") and part in ANSWER_FORMS
    return after_role or after_format or part in FORMS or part.startswith(FORM_STARTS)


def _what(fault: ErrorDetails, param: str) -> str:
    wrong_form = fault["type"] in WRONG_FORM
    if param == "stop" and wrong_form:
        return f"must be a string or a list of up to {STOP_STRINGS} strings"
    if param.startswith("stop") and fault["type"] in ("string_too_short", "string_too_long"):
        return f"a stop string has 1 to {STOP_LENGTH} characters"
    if param in ("prompt", "input") and fault["type"] == "union_tag_not_found":
        return "must be a string, a list of token ids, or a list of either"
    if param.endswith((".content", ".output")) and wrong_form:
        return "must be a string or a list of text parts"
    if param == "input" and wrong_form:
        return "must be a string or a list of items"
    if param in ("response_format", "text.format") and fault["type"].startswith("union_tag"):
        return f"must have a type: {', '.join(ANSWER_FORMS)}"
    if fault["type"] == "union_tag_not_found":
        return f"must have a role; known roles: {', '.join(ROLES)}"
    if fault["type"] == "union_tag_invalid":
        return "role must be a string"
    return _sentence(fault)


def _sentence(fault: ErrorDetails) -> str:
    """What must be, and what is if that is a number or a count: never a text."""
    limits = fault.get("ctx", {})
    match fault["type"]:
        case "missing":
            return "is required"
        case "string_pattern_mismatch":
            return f"must match {limits['pattern']}"
        case "too_short":
            return "must not be empty"
        case "model_type" | "model_attributes_type" | "dict_type":
            return "must be an object"
        case "too_long":
            return (
                f"has {limits['actual_length']} items; at most {limits['max_length']} are allowed"
            )
    value = fault["input"]
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    given = f", and is {str(value)[:SHOWN]}" if is_number else ""
    message = fault["msg"].removeprefix("Input should be ")
    return f"must be {message}{given}"


def short(name: str) -> str:
    """A made-up name as an error repeats it."""
    return repr(name if len(name) <= SHOWN else name[:SHOWN] + "…")
