"""Checks of routes that not every server has; where one answers 404, its checks are skipped."""

import base64
import struct
from typing import Any

from cloister.conform.check import Skip, Suite, expect
from cloister.conform.server import Json, Server
from cloister.conform.stream import ask, listen

suite = Suite("further")

WORDS = "The quick brown fox"


@suite.check("/embeddings: one vector an input, base64 the same as floats")
async def embeddings(server: Server) -> None:
    floats = await _vectors(server, "float")
    expect(len(floats) == 2, "there are not two vectors")
    packed = await _vectors(server, "base64")
    sizes = [len(one) // 4 for one in map(base64.b64decode, packed)]
    expect(sizes == [len(one) for one in floats], "base64 has another size")
    first = struct.unpack(f"<{sizes[0]}f", base64.b64decode(packed[0]))
    far = max(abs(a - b) for a, b in zip(first, floats[0], strict=True))
    expect(far < 1e-3, "base64 has other values")


@suite.check("/responses: output text and usage in OpenAI's shape")
async def responses(server: Server) -> None:
    told = await ask(server, "/responses", _response(server), optional=True)
    _check_response(told)


@suite.check("/responses, streamed: typed events in order, a terminal one last")
async def responses_streamed(server: Server) -> None:
    heard = await listen(server, "/responses", _response(server), optional=True)
    bodies = heard.bodies
    kinds = [str(body.get("type")) for body in bodies]
    expect(kinds[:1] == ["response.created"], "the first event is not response.created")
    expect(kinds[-1] in ("response.completed", "response.incomplete"), "no terminal event is last")
    numbers = [body.get("sequence_number") for body in bodies]
    expect(
        numbers == list(range(numbers[0] or 0, (numbers[0] or 0) + len(numbers))),
        "sequence_number has gaps",
    )
    deltas = [body["delta"] for body in bodies if body["type"] == "response.output_text.delta"]
    done = [body["text"] for body in bodies if body["type"] == "response.output_text.done"]
    expect("".join(deltas) == "".join(done), "the deltas are not the text")
    _check_response(bodies[-1]["response"])


@suite.check("/v1/messages: Anthropic's shape")
async def messages(server: Server) -> None:
    told = await ask(server, "/messages", server.chat("Say hello."), optional=True)
    expect(told.get("type") == "message" and told.get("role") == "assistant", "it is no message")
    expect(all(part.get("type") == "text" for part in told["content"]), "the content is no text")
    expect(told.get("stop_reason") in ("end_turn", "max_tokens"), "stop_reason is another")
    usage = told.get("usage") or {}
    expect(usage.get("input_tokens") and usage.get("output_tokens"), "usage is missing")


@suite.check("/tokenize and /detokenize give the text back")
async def tokenize(server: Server) -> None:
    fields = {"model": server.model, "prompt": WORDS, "add_special_tokens": False}
    told = await ask(server, "//tokenize", fields, optional=True)
    tokens = told.get("tokens")
    expect(isinstance(tokens, list) and tokens, "there are no tokens")
    expect(told.get("count") in (None, len(tokens)), "the count is wrong")
    back = await ask(
        server, "//detokenize", {"model": server.model, "tokens": tokens}, optional=True
    )
    text = back.get("prompt", back.get("content"))
    expect(isinstance(text, str) and text.strip() == WORDS, "the text is another")


async def _vectors(server: Server, encoding: str) -> list[Any]:
    body = {"model": server.model, "input": [WORDS, "rain"], "encoding_format": encoding}
    told = await ask(server, "/embeddings", body, optional=True)
    expect(told.get("object") == "list", "it is no list")
    expect([one.get("index") for one in told["data"]] == [0, 1], "indexes are not 0 and 1")
    return [one["embedding"] for one in told["data"]]


def _response(server: Server) -> Json:
    return {"model": server.model, "input": "Say hello.", "max_output_tokens": 24, "store": False}


def _check_response(told: Json) -> None:
    expect(told.get("object") == "response", "it is no response")
    expect(told.get("status") in ("completed", "incomplete"), "the status is another")
    said = [item for item in told["output"] if item.get("type") == "message"]
    if not said:
        raise Skip("the model gave no message")
    expect(said[0]["content"][0].get("type") == "output_text", "the content is no output_text")
    usage = told.get("usage") or {}
    total = usage.get("input_tokens", 0) + usage.get("output_tokens", 0)
    expect(total and usage.get("total_tokens") == total, "usage does not sum up")
