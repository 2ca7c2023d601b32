"""Members of OpenAI's requests that we know and do not do yet.

With a neutral value, one that asks for nothing, they pass; with any other they are refused. Never
is one ignored.
"""

from collections.abc import Mapping
from typing import Any

from cloister.errors import BadRequest

Neutral = Mapping[str, tuple[Any, ...]]
"""Values that ask for nothing, by member; `None` is always one."""

CHAT: Neutral = {
    "audio": (),
    "function_call": ("none", "auto"),
    "functions": ([],),
    "modalities": (["text"],),
    "moderation": (),
    "prediction": (),
    "prompt_cache_key": (),
    "prompt_cache_options": (),
    "prompt_cache_retention": (),
    "safety_identifier": (),
    "service_tier": ("auto", "default"),
    "store": (False,),
    "verbosity": (),
    "web_search_options": (),
}

COMPLETION: Neutral = {"suffix": ()}

MESSAGE: Neutral = {
    "annotations": ([],),
    "audio": (),
    "function_call": (),
    "refusal": (),
}

RESPONSE: Neutral = {
    "access_programs": (),
    "background": (False,),
    "background_options": (),
    "context_management": ([],),
    "conversation": (),
    "image": (),
    "max_tool_calls": (),
    "moderation": (),
    "prompt": (),
    "prompt_cache_key": (),
    "prompt_cache_options": (),
    "prompt_cache_retention": (),
    "safety_identifier": (),
    "service_tier": ("auto", "default"),
    "truncation": ("disabled",),
}

RESPONSE_INNER: Mapping[str, Neutral] = {
    "text": {"verbosity": ("medium",)},
    "reasoning": {
        "context": ("auto",),
        "generate_summary": (),
        "mode": ("standard",),
        "summary": (),
    },
}
"""By the member that holds them."""

ITEM: Neutral = {
    "async": (False,),
    "caller": (),
    "encrypted_content": (),
    "namespace": (),
    "phase": (),
}

ITEM_PART: Neutral = {"prompt_cache_breakpoint": ()}

FUNCTION_TOOL: Neutral = {
    "allowed_callers": (["direct"],),
    "async": (False,),
    "defer_loading": (False,),
    "output_schema": (),
}

STREAM_OPTIONS: Neutral = {"continuous_usage_stats": (False,)}


def without(body: Mapping[str, Any], unsupported: Neutral, path: str = "") -> dict[str, Any]:
    """`body` less its neutral members of `unsupported`. Raises `BadRequest` for the others."""
    for name, neutral in unsupported.items():
        if name in body and not _is_neutral(body[name], neutral):
            raise _refusal(path + name, neutral)
    return {name: value for name, value in body.items() if name not in unsupported}


def _is_neutral(value: Any, neutral: tuple[Any, ...]) -> bool:
    return value is None or any(type(value) is type(one) and value == one for one in neutral)


def _refusal(param: str, neutral: tuple[Any, ...]) -> BadRequest:
    allowed = f", other than {' or '.join(map(_shown, neutral))}" if neutral else ""
    return BadRequest(
        f"{param} is not supported yet{allowed}", param=param, code="unsupported_parameter"
    )


def _shown(value: Any) -> str:
    return {True: "true", False: "false"}[value] if isinstance(value, bool) else repr(value)
