"""Checks of streamed chats: what the SDK's accumulator and simple clients rely on."""

from collections.abc import Sequence

from cloister.conform.chat import COUNT, PATH, answered
from cloister.conform.check import Doubt, Skip, Suite, expect
from cloister.conform.server import Server
from cloister.conform.shapes import Chunk, ChunkChoice
from cloister.conform.stream import chunks, content, listen, of_choice

suite = Suite("stream")

BROKEN = "\ufffd"
WIDE = ("naïve 日本語 👍🏽", "Ελλάδα → 10 €")


async def said(server: Server) -> list[Chunk]:
    return await chunks(server, server.chat("Say hello.", temperature=0))


@suite.check("the stream ends with [DONE], once, behind everything else")
async def done(server: Server) -> None:
    heard = await listen(server, PATH, server.chat("Say hello."))
    expect("[DONE]" in heard.data, "there is no [DONE]")
    expect(heard.data.index("[DONE]") == len(heard.data) - 1, "something follows [DONE]")


@suite.check("there are data lines and comments only; an event name or id trips SDKs")
async def lines(server: Server) -> None:
    heard = await listen(server, PATH, server.chat("Say hello."))
    expect(all(line.startswith(":") for line in heard.other), "there are other lines")
    expect(all(heard.data), "an event has no data")


@suite.check("each chunk has OpenAI's shape")
async def shape(server: Server) -> None:
    parts = list(of_choice(await said(server)))
    expect(parts, "there is no chunk")
    told = all("finish_reason" in part.model_fields_set for part in parts)
    expect(told, "finish_reason is left out, where OpenAI sends null")


@suite.check("the role comes once, with the first chunk")
async def role(server: Server) -> None:
    roles = [choice.delta.role for choice in of_choice(await said(server))]
    expect(roles[:1] == ["assistant"], "the first chunk has no role")
    expect(not any(roles[1:]), "it comes again, and accumulators join it: assistantassistant")


@suite.check("one chunk has the finish_reason, and no content follows")
async def finish(server: Server) -> None:
    reasons = [choice.finish_reason for choice in of_choice(await said(server))]
    told = [reason for reason in reasons if reason]
    expect(len(told) == 1, f"{len(told)} chunks have one")
    expect(reasons[-1], "another chunk follows it")


@suite.check("id, created and model are the same in all chunks")
async def constant(server: Server) -> None:
    heads = {(chunk.id, chunk.created, chunk.model) for chunk in await said(server)}
    expect(len(heads) == 1, "they change")


@suite.check("with include_usage the last chunk has usage and no choices, the others null")
async def usage(server: Server) -> None:
    found = await chunks(server, server.chat("Say hello."), usage=True)
    last = found.pop()
    expect(last.usage is not None, "the last chunk has no usage")
    expect(last.choices == [], "the last chunk has choices")
    expect(all(chunk.usage is None for chunk in found), "an earlier chunk has usage too")
    missing = any("usage" not in chunk.model_fields_set for chunk in found)
    if missing:
        raise Doubt("earlier chunks leave usage out, where OpenAI sends null")


@suite.check("streamed usage is that of the whole answer")
async def usage_exact(server: Server) -> None:
    body = server.chat(COUNT, temperature=0)
    found = await chunks(server, body, usage=True)
    whole = await answered(server, body)
    last = found[-1].usage
    expect(last is not None, "the last chunk has no usage")
    counts = (last.prompt_tokens, last.completion_tokens, last.total_tokens) if last else ()
    told = whole.usage
    expected = (told.prompt_tokens, told.completion_tokens, told.total_tokens)
    expect(counts == expected, "the counts differ")


@suite.check("without include_usage every chunk has a choice, as simple clients expect")
async def choices(server: Server) -> None:
    expect(all(chunk.choices for chunk in await said(server)), "a chunk has none")


@suite.check("the stream's text is the whole answer's")
async def equal(server: Server) -> None:
    body = server.chat(COUNT, temperature=0)
    whole = (await answered(server, body)).choices[0].message.content
    expect(content(await chunks(server, body)) == whole, "they differ")


@suite.check("characters are never broken between chunks")
async def characters(server: Server) -> None:
    told = False
    for text in WIDE:
        schema = {"type": "object", "properties": {"x": {"enum": [text]}}, "required": ["x"]}
        form = {"type": "json_schema", "json_schema": {"name": "wide", "schema": schema}}
        fields = {"temperature": 0, "max_tokens": 120, "response_format": form}
        found = await chunks(server, server.chat(f"Repeat: {text}", **fields), optional=True)
        expect(BROKEN not in content(found), "U+FFFD stands in the text")
        told |= any(ord(character) > 127 for character in content(found))
    if not told:
        raise Skip("the model said nothing beyond ASCII")


@suite.check("with n, each choice has its role, its text and its end")
async def n(server: Server) -> None:
    found = await chunks(server, server.chat("Say hello.", n=2, temperature=1), optional=True)
    order = [choice.index for chunk in found for choice in chunk.choices]
    expect(set(order) == {0, 1}, "there are not choices 0 and 1")
    expect(order.index(0) < order.index(1), "choice 1 comes first, and accumulators append")
    for index in (0, 1):
        _check_one(list(of_choice(found, index)))


@suite.check("include_obfuscation pads chunks")
async def obfuscation(server: Server) -> None:
    options = {"stream_options": {"include_obfuscation": True}}
    found = await chunks(server, server.chat("Say hello.", **options), optional=True)
    padded = [bool((chunk.model_extra or {}).get("obfuscation")) for chunk in found]
    expect(any(padded), "it is dropped in silence")


def _check_one(parts: Sequence[ChunkChoice]) -> None:
    roles = [part.delta.role for part in parts]
    expect(roles[0] == "assistant" and not any(roles[1:]), "a role is missing or comes twice")
    reasons = [part.finish_reason for part in parts]
    expect(sum(map(bool, reasons)) == 1, "a choice has no end, or two")
