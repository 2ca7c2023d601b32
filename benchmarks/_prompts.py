"""Prompts of a wanted length in the server's own tokens, no two alike from their first word on."""

import random
from dataclasses import dataclass

from benchmarks._load import ask
from cloister.client import Chat, Client, Message, Options

# fmt: off
WORDS = (
    "river", "stone", "garden", "window", "music", "paper", "silver", "morning", "ladder",
    "basket", "copper", "winter", "story", "lantern", "market", "feather", "harbour",
    "village", "thunder", "blanket", "mountain", "pocket", "candle", "meadow", "bridge",
)
# fmt: on
TASK = "Write a long story with these words, as long as you can: "


@dataclass(frozen=True, slots=True)
class Length:
    """How many tokens a prompt has: `fixed` for task and template, `per_word` for each word."""

    fixed: float
    per_word: float

    def words(self, tokens: int) -> int:
        return max(1, round((tokens - self.fixed) / self.per_word))


async def measure(client: Client, model: str, timeout_s: float, dice: random.Random) -> Length:
    """Two short chats tell the line between words and tokens. A server without usage: 1 and 0."""
    few, many = 8, 40
    options = Options(max_tokens=1, temperature=0.0)
    counts = []
    for words in (few, many):
        sample = await ask(client, chat(model, words, options, dice), timeout_s)
        if sample.error:
            raise SystemExit(f"error: the first request failed: {sample.error}")
        counts.append(sample.prompt_tokens)
    per_word = (counts[1] - counts[0]) / (many - few)
    if per_word <= 0:
        return Length(fixed=0, per_word=1)
    return Length(fixed=counts[0] - few * per_word, per_word=per_word)


def chat(model: str, words: int, options: Options, dice: random.Random) -> Chat:
    """A chat whose first word already differs, so that no cache of prefixes serves it."""
    name = "".join(dice.choices("abcdefghijklmnopqrstuvwxyz", k=6))
    text = f"{name}: {TASK}{' '.join(dice.choices(WORDS, k=words))}."
    return Chat(model, (Message("user", text),), options)
