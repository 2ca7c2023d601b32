"""A worker whose model knows tools, before the stock SDK of Anthropic, which validates strictly."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import anthropic

from tests.fakes.engine import tokens
from tests.fakes.server import serving
from tests.fakes.templates import HERMES
from tests.fakes.vocabulary import CONTROL, byte_tokenizer, write_folder
from worker.api.served import Served
from worker.engine.request import Finish

ROUTE = "/v1/messages"
HI = [{"role": "user", "content": "hi"}]
GET = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TOOLS = [
    {"name": "get", "description": "gets", "input_schema": GET},
    {"name": "put", "input_schema": {"type": "object"}},
]
CALL = '<tool_call>\n{"name": "get", "arguments": {"city": "Ü, \\"x\\""}}\n</tool_call>'


def load(folder: Path, template: str = HERMES) -> Served:
    encoder = byte_tokenizer((*CONTROL, "<tool_call>", "</tool_call>"))
    write_folder(folder, encoder, template=template)
    return Served.load(folder, name="tiny", context_length=2000)


@contextmanager
def sdk_at(app: Any) -> Iterator[anthropic.Anthropic]:
    with (
        serving(app) as url,
        anthropic.Anthropic(
            base_url=url, api_key="k", max_retries=0, _strict_response_validation=True
        ) as sdk,
    ):
        yield sdk


def asked(**more: Any) -> dict[str, Any]:
    return {"model": "tiny", "max_tokens": 50, "messages": HI, **more}


def spoken(text: str, size: int = 3, finish: Finish = Finish.STOP) -> Any:
    return tokens(*(text[at : at + size] for at in range(0, len(text), size)), finish=finish)


def both(sdk: anthropic.Anthropic, **more: Any) -> tuple[anthropic.types.Message, list[str]]:
    """The whole answer, which the stream's must equal, and the types of the stream's events."""
    whole = sdk.messages.create(**asked(**more))
    with sdk.messages.stream(**asked(**more)) as stream:
        kinds = [event.type for event in stream]
        streamed = stream.get_final_message()
    assert comparable(streamed) == comparable(whole)
    return whole, [kind for kind in kinds if kind not in ("text", "input_json", "thinking")]


def comparable(message: Any) -> Any:
    told: dict[str, Any] = message.model_dump(
        mode="json", exclude={"id": True, "content": {"__all__": {"id", "parsed_output"}}}
    )
    return told
