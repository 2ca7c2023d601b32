"""Checks of /completions, the older route; a server without it is not at fault."""

from cloister.conform.check import Suite, expect
from cloister.conform.server import Json, Server
from cloister.conform.shapes import Text, read
from cloister.conform.stream import ask, listen, text_chunks

suite = Suite("completions")

PATH = "/completions"
PROMPT = "Once upon a time"


async def continued(server: Server, body: Json) -> Text:
    return read(Text, await ask(server, PATH, body, optional=True))


@suite.check("a whole answer has OpenAI's shape")
async def whole(server: Server) -> None:
    answer = await continued(server, server.completion(PROMPT))
    told = answer.usage
    expect(
        told.total_tokens == told.prompt_tokens + told.completion_tokens, "usage does not sum up"
    )


@suite.check("the stream's text is the whole answer's")
async def equal(server: Server) -> None:
    body = server.completion(PROMPT, temperature=0)
    whole = (await continued(server, body)).choices[0].text
    parts = [choice for chunk in await text_chunks(server, body) for choice in chunk.choices]
    expect("".join(part.text for part in parts) == whole, "they differ")
    expect(sum(bool(part.finish_reason) for part in parts) == 1, "not one chunk has the end")


@suite.check("the stream ends with [DONE], behind a usage chunk if asked for")
async def done(server: Server) -> None:
    options = {"stream_options": {"include_usage": True}}
    heard = await listen(server, PATH, server.completion(PROMPT, **options), optional=True)
    expect(heard.data[-1:] == ("[DONE]",), "the last event is not [DONE]")
    last = heard.bodies[-1]
    expect(last.get("choices") == [] and last.get("usage"), "there is no usage chunk before it")


@suite.check("without max_tokens the answer has at most 16 tokens")
async def default_limit(server: Server) -> None:
    body = server.completion(PROMPT)
    del body["max_tokens"]
    answer = await continued(server, body)
    expect(answer.usage.completion_tokens <= 16, "it has more")


@suite.check("echo repeats the prompt")
async def echo(server: Server) -> None:
    answer = await continued(server, server.completion(PROMPT, echo=True))
    expect(answer.choices[0].text.startswith(PROMPT), "it is dropped in silence")


@suite.check("logprobs tell of each token in lists of one length")
async def logprobs(server: Server) -> None:
    answer = await continued(server, server.completion(PROMPT, logprobs=2, temperature=0))
    told = answer.choices[0].logprobs
    expect(told is not None, "it is dropped in silence")
    if told is not None:
        lists = (told.tokens, told.token_logprobs, told.top_logprobs, told.text_offset)
        expect(len({len(one) for one in lists}) == 1, "they differ in length")
        expect(all(value is None or value <= 0 for value in told.token_logprobs), "one is over 0")


@suite.check("a list of prompts gives a choice for each, indexes in order")
async def prompts(server: Server) -> None:
    body = server.completion([PROMPT, "The sea is"], temperature=0)
    answer = await continued(server, body)
    expect([choice.index for choice in answer.choices] == [0, 1], "there are not choices 0 and 1")


@suite.check("a prompt may be token ids")
async def token_ids(server: Server) -> None:
    answer = await continued(server, server.completion([11, 12, 13]))
    expect(answer.usage.prompt_tokens <= 4, "they were taken for something else")
