"""Sends chats to an OpenAI address and notes when what came back."""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass

from cloister.client import Chat, Client, Delta, Summary
from cloister.errors import CloisterError

Progress = Callable[[], None]
"""Called when a request has ended."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One answer. Times in seconds: `arrivals` of texts since sending, start and end on one clock.

    `error` is a short code, never text of a server; with it the other numbers mean little.
    """

    started_s: float
    ended_s: float
    arrivals: tuple[float, ...]
    prompt_tokens: int
    output_tokens: int
    counted: bool  # the server counted the tokens; else they are the texts that came
    error: str | None


async def closed_loop(
    client: Client, chats: Sequence[Chat], streams: int, timeout_s: float, progress: Progress
) -> list[Sample]:
    """Send all chats, `streams` at any time: a next one starts when one ends."""
    waiting = iter(chats)
    samples: list[Sample] = []

    async def stream() -> None:
        for chat in waiting:
            samples.append(await ask(client, chat, timeout_s))
            progress()

    await asyncio.gather(*(stream() for _ in range(streams)))
    return samples


async def open_loop(
    client: Client,
    chats: Sequence[Chat],
    rate: float,
    timeout_s: float,
    progress: Progress,
    dice: random.Random,
) -> list[Sample]:
    """Send chats as a Poisson process of `rate` a second, however many are under way."""

    async def one(chat: Chat) -> Sample:
        sample = await ask(client, chat, timeout_s)
        progress()
        return sample

    tasks = []
    async for chat in _arrivals(chats, rate, dice):
        tasks.append(asyncio.create_task(one(chat)))
    return await asyncio.gather(*tasks)


async def ask(client: Client, chat: Chat, timeout_s: float) -> Sample:
    """One chat, from sending to the end of its stream."""
    arrivals: list[float] = []
    summary: Summary | None = None
    error: str | None = None
    started_s = time.perf_counter()
    try:
        async with asyncio.timeout(timeout_s):
            async for event in client.chat(chat):
                match event:
                    case Delta():
                        arrivals.append(event.at_s)
                    case Summary():
                        summary = event
    except CloisterError as problem:
        error = problem.code or problem.kind
    except TimeoutError:
        error = "timeout"
    usage = summary.usage if summary else None
    return Sample(
        started_s=started_s,
        ended_s=time.perf_counter(),
        arrivals=tuple(arrivals),
        prompt_tokens=usage.prompt_tokens if usage else 0,
        output_tokens=usage.generated_tokens if usage else len(arrivals),
        counted=usage is not None,
        error=error,
    )


async def _arrivals(chats: Sequence[Chat], rate: float, dice: random.Random) -> AsyncIterator[Chat]:
    due_s = time.perf_counter()
    for chat in chats:
        await asyncio.sleep(max(0, due_s - time.perf_counter()))
        yield chat
        due_s += dice.expovariate(rate)
