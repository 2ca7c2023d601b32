"""Checks of whole chat answers, and of what shapes them."""

from cloister.conform.check import Fault, Skip, Suite, expect
from cloister.conform.server import Json, Server
from cloister.conform.shapes import Chat, ChatLogprobs, Entry, read
from cloister.conform.stream import ask, chunks, content, of_choice

suite = Suite("chat")

PATH = "/chat/completions"
COUNT = "Count from 1 to 100."
BIASED_IDS = (70, 100, 300, 500, 1000)
BIASED_TOKENS = 4


async def answered(server: Server, body: Json, *, optional: bool = False) -> Chat:
    return read(Chat, await ask(server, PATH, body, optional=optional))


@suite.check("a whole answer has OpenAI's shape")
async def whole(server: Server) -> None:
    answer = await answered(server, server.chat("Say hello."))
    expect(len(answer.choices) == 1, "there is more than one choice")
    expect(answer.choices[0].message.content is not None, "the content is null")


@suite.check("usage sums up")
async def usage(server: Server) -> None:
    told = (await answered(server, server.chat("Say hello."))).usage
    expect(told.total_tokens == told.prompt_tokens + told.completion_tokens, "it does not")
    expect(told.completion_tokens > 0, "no token is counted")


@suite.check("max_tokens limits the answer, which then ends with length")
async def max_tokens(server: Server) -> None:
    _check_cut(await answered(server, server.chat(COUNT, max_tokens=3)))


@suite.check("max_completion_tokens limits the answer too")
async def max_completion_tokens(server: Server) -> None:
    body = server.chat(COUNT, max_completion_tokens=3)
    del body["max_tokens"]
    _check_cut(await answered(server, body, optional=True))


@suite.check("temperature 0 gives the same text again")
async def greedy(server: Server) -> None:
    body = server.chat(COUNT, temperature=0)
    expect(_text(await answered(server, body)) == _text(await answered(server, body)), "it differs")


@suite.check("a seed gives the same text again")
async def seed(server: Server) -> None:
    body = server.chat(COUNT, temperature=1.5, seed=7)
    first, again = [_text(await answered(server, body, optional=True)) for _ in range(2)]
    expect(first == again, "it differs")


@suite.check("a stop string ends the answer at its first place and is not in it")
async def stop(server: Server) -> None:
    body, expected = await _stopped(server)
    answer = await answered(server, body)
    expect(_text(answer) == expected, "the text is not what comes before the stop string")
    expect(answer.choices[0].finish_reason == "stop", "finish_reason is not stop")


@suite.check("in a stream, no part of a stop string comes out")
async def stop_streamed(server: Server) -> None:
    body, expected = await _stopped(server)
    found = await chunks(server, body)
    expect(content(found) == expected, "the text is not what comes before the stop string")
    reasons = [choice.finish_reason for choice in of_choice(found) if choice.finish_reason]
    expect(reasons == ["stop"], "finish_reason is not stop")


@suite.check("n gives so many choices, with indexes from 0")
async def n(server: Server) -> None:
    body = server.chat("Say hello.", n=2, temperature=1)
    answer = await answered(server, body, optional=True)
    expect([choice.index for choice in answer.choices] == [0, 1], "there are not choices 0 and 1")
    expect(answer.usage.completion_tokens > 1, "usage does not count both")


@suite.check("content as text parts is the same as content as text")
async def parts(server: Server) -> None:
    plain = server.chat("Say hello.", temperature=0)
    parted = {**plain, "messages": [{"role": "user", "content": _parted("Say hello.")}]}
    answer = await answered(server, parted, optional=True)
    expect(_text(answer) == _text(await answered(server, plain)), "the answers differ")


@suite.check("system, developer and assistant messages are taken")
async def roles(server: Server) -> None:
    body = server.chat("And now?")
    said = [{"role": "developer", "content": "Be brief."}, *body["messages"]]
    said += [{"role": "assistant", "content": "Then it rained."}, *body["messages"]]
    await answered(server, {**body, "messages": said}, optional=True)


@suite.check("logit_bias of 100 forces a token")
async def logit_bias(server: Server) -> None:
    plain = _text(await answered(server, server.chat(COUNT, temperature=0)))
    for id in BIASED_IDS:
        fields = {"logit_bias": {str(id): 100}, "temperature": 0, "max_tokens": BIASED_TOKENS}
        text = _text(await answered(server, server.chat(COUNT, **fields), optional=True))
        unit = text[: len(text) // BIASED_TOKENS]
        if unit and unit * BIASED_TOKENS == text:
            return
        expect(not text or not plain.startswith(text), "it changes nothing")
    raise Skip("no id was found whose repetition shows")


@suite.check(
    "log-probabilities: not over 0, as many alternatives as asked, bytes that are the text"
)
async def logprobs(server: Server) -> None:
    body = server.chat("Say hello.", logprobs=True, top_logprobs=3, temperature=0)
    choice = (await answered(server, body, optional=True)).choices[0]
    if choice.logprobs is None or not choice.logprobs.content:
        raise Fault("logprobs.content is missing")
    entries = choice.logprobs.content
    expect(all(len(entry.top_logprobs) == 3 for entry in entries), "not 3 alternatives each")
    told = b"".join(bytes(entry.bytes or ()) for entry in entries).decode("utf-8", "replace")
    expect((choice.message.content or "") in told, "their bytes are not the text")


@suite.check("streamed log-probabilities are those of the whole answer")
async def logprobs_streamed(server: Server) -> None:
    body = server.chat("Say hello.", logprobs=True, temperature=0)
    answer = await answered(server, body, optional=True)
    parts = of_choice(await chunks(server, body, optional=True))
    streamed = [entry.token for part in parts for entry in _entries(part.logprobs)]
    whole = [entry.token for entry in _entries(answer.choices[0].logprobs)]
    expect(streamed == whole, "they differ")


def _check_cut(answer: Chat) -> None:
    expect(answer.usage.completion_tokens <= 3, "more than 3 tokens are counted")
    if answer.usage.completion_tokens < 3:
        raise Skip("the model ended before the limit")
    expect(answer.choices[0].finish_reason == "length", "finish_reason is not length")


async def _stopped(server: Server) -> tuple[Json, str]:
    """A request with a stop string that its answer would hold, and the text before that."""
    body = server.chat(COUNT, temperature=0)
    text = _text(await answered(server, body))
    middle = text[len(text) // 2 :][:3].strip()
    if not middle or text.startswith(middle):
        raise Skip("the model's answer is too short to stop within")
    return {**body, "stop": [middle]}, text[: text.index(middle)]


def _text(answer: Chat) -> str:
    return answer.choices[0].message.content or ""


def _parted(text: str) -> list[Json]:
    return [{"type": "text", "text": text}]


def _entries(logprobs: ChatLogprobs | None) -> list[Entry]:
    return (logprobs.content if logprobs else None) or []
