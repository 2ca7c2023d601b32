"""Puts exchanges of all skills together into conversations, without end and by seed alone."""

from collections.abc import Callable, Iterator
from random import Random

from worker.novice.chat import Conversation, Message
from worker.novice.corpus.about import about
from worker.novice.corpus.copying import copying, repeating
from worker.novice.corpus.lists import listing, little_fact, more_of_it
from worker.novice.corpus.objects import json_object
from worker.novice.corpus.people import any_name
from worker.novice.corpus.phrase import neat
from worker.novice.corpus.spelling import spelling
from worker.novice.corpus.stories import story
from worker.novice.corpus.sums import arithmetic, follow_up, opening
from worker.novice.corpus.talk import introduction, own_name, recall, small_talk
from worker.novice.corpus.tools import no_tool_fits, offered, signatures, tool_call
from worker.novice.corpus.unknown import unknown

DRILLS = 6000
DRILLED = 0.33
LONGEST = 3000  # characters of a conversation; about 1000 tokens
SKILLS: tuple[tuple[Callable[[Random], list[Message]], int], ...] = (
    (small_talk, 20),
    (about, 15),
    (arithmetic, 20),
    (spelling, 20),
    (listing, 8),
    (more_of_it, 2),
    (little_fact, 3),
    (json_object, 20),
    (copying, 18),
    (story, 5),
    (unknown, 8),
)
PLAIN_SYSTEM = (
    "You are a helpful assistant.",
    "You are a friendly assistant. Answer briefly.",
    "Be helpful and kind.",
    "You are Novice, a tiny model.",
    "Answer the user's questions.",
    "Be brief.",
    "You are a helpful assistant. Use the tools when they help.",
    "You are an assistant that speaks plain English.",
)
NAMED_SYSTEM = (
    "[You are {name}, a [friendly |helpful |kind ||][helper|assistant|robot|bot|guide]"
    "|Your name is {name}|You are {name}|You are called {name}|Act as {name}|Be {name}"
    "|The assistant's name is {name}][.|. Answer briefly.|. You help people.|. Be kind.]"
)


def lessons(rng: Random) -> Iterator[Conversation]:
    """Yield what training reads: first short drills in copying from the request, then the mix.

    A network learns to look things up in its context much sooner when nothing else distracts it.
    """
    for _ in range(DRILLS):
        drill = rng.choice((repeating, repeating, copying))
        yield Conversation(tuple(drill(rng)))
    yield from conversations(rng)


def conversations(rng: Random, drill: str = "") -> Iterator[Conversation]:
    """Yield mixed conversations without end, every third one of the skill to `drill`."""
    skills = {skill.__name__: skill for skill, _ in SKILLS}
    while True:
        if drill and rng.random() < DRILLED:
            yield Conversation(tuple(skills[drill](rng)))
        else:
            yield with_tools(rng) if rng.random() < 0.18 else without_tools(rng)


def without_tools(rng: Random) -> Conversation:
    """One to a dozen exchanges of mixed skills."""
    system, own = _system(rng)
    talk = _Talk(rng, own)
    exchanges = _take(lambda: talk.exchange(), rng.choice((1, 1, 1, 2, 2, 3, 4, 6, 12)))
    return Conversation((*system, *exchanges))


def with_tools(rng: Random) -> Conversation:
    """A few exchanges while tools are on offer; most of them use one."""
    system, own = _system(rng)
    talk, tools = _Talk(rng, own), offered(rng)

    def exchange() -> list[Message]:
        kind = rng.random()
        if kind < 0.72:
            return tool_call(rng, tools)
        return no_tool_fits(rng, tools) if kind < 0.84 else talk.exchange()

    exchanges = _take(exchange, rng.choice((1, 1, 1, 2, 3)))
    return Conversation((*system, *exchanges), signatures(rng, tools))


class _Talk:
    """What later exchanges may refer to: names and the last result."""

    def __init__(self, rng: Random, own: str) -> None:
        self.rng = rng
        self.own = own
        self.user = ""

    def exchange(self) -> list[Message]:
        """Return the next exchange."""
        kind = self.rng.random()
        if kind < 0.04 or (self.own != "Novice" and kind < 0.2):
            return own_name(self.rng, self.own)
        if kind < 0.07 and not self.user:
            self.user = any_name(self.rng)
            return introduction(self.rng, self.user)
        if kind < 0.15 and self.user:
            return recall(self.rng, self.user)
        if kind < 0.19:
            return _chain(self.rng)
        skills, weights = zip(*SKILLS, strict=True)
        return list(self.rng.choices(skills, weights)[0](self.rng))


def _chain(rng: Random) -> list[Message]:
    """A sum and one or two that go on from its result."""
    messages, result = opening(rng)
    for _ in range(rng.choice((1, 1, 2))):
        more, result = follow_up(rng, result)
        messages = messages + more
    return messages


def _system(rng: Random) -> tuple[list[Message], str]:
    """Return a system message or none, and the name it gives the assistant."""
    kind = rng.random()
    if kind < 0.75:
        return [], "Novice"
    if kind < 0.88:
        return [{"role": "system", "content": rng.choice(PLAIN_SYSTEM)}], "Novice"
    name = any_name(rng)
    return [{"role": "system", "content": neat(rng, NAMED_SYSTEM, name=name)}], name


def _take(exchange: Callable[[], list[Message]], count: int) -> list[Message]:
    """Collect exchanges, at most `count` and within the longest conversation."""
    messages: list[Message] = []
    size = 0
    for _ in range(count):
        more = exchange()
        size += sum(len(message["content"]) + 40 for message in more)
        if messages and size > LONGEST:
            break
        messages += more
    return messages
