"""Turns a pattern into one of many human phrasings: `[hi|hello], tell me about {topic}[?|]`."""

import re
from random import Random

CHOICE = re.compile(r"\[([^\[\]]*)\]")
WORD = re.compile(r"\{[^{}]*\}|[a-z]{5,}")
OPENERS = "[hey|hi|ok|okay|so|well|now|um|hello|alright|great|thanks|next|oh|and|hmm|right|good"
OPENERS += "|novice|hey novice|hi novice|quick question|one more thing|just curious|listen|please"
OPENERS += "|actually|by the way|i wonder|my friend|one question|i was wondering|excuse me]"
CLOSERS = "[ please| please|, please| for me| if you can| if possible|, thanks|, thank you| thanks"
CLOSERS += "|, novice|, my friend| if you please| would you|, okay| this time| instead"
CLOSERS += "| now| right now| at the moment| quickly]"


def phrase(rng: Random, pattern: str, **values: object) -> str:
    """Expand the choices, then let the wording be as sloppy as people are, then fill values in."""
    return _fill(_sloppy(rng, choose(rng, pattern)), values)


def neat(rng: Random, pattern: str, **values: object) -> str:
    """Expand the choices and fill values in, with no sloppiness: for answers."""
    return _fill(choose(rng, pattern), values)


def ask(rng: Random, pattern: str, **values: object) -> str:
    """Like `phrase`, now and then with words around it that change nothing."""
    opener = f"{OPENERS}[,|,||:|!|...] " if rng.random() < 0.2 else ""
    closer = CLOSERS if rng.random() < 0.12 and "{text}" not in pattern else ""
    return phrase(rng, _join(opener, pattern, closer), **values)


def choose(rng: Random, pattern: str) -> str:
    """Pick one branch of every `[a|b]`, innermost first."""
    while CHOICE.search(pattern):
        pattern = CHOICE.sub(lambda found: rng.choice(found.group(1).split("|")), pattern)
    return re.sub(r"  +", " ", pattern).strip()


def capital(text: str) -> str:
    """Return the text with a capital first letter and the rest untouched."""
    return text[:1].upper() + text[1:]


def series(values: list[str]) -> str:
    """Join as English does: `a, b and c`."""
    return values[0] if len(values) == 1 else ", ".join(values[:-1]) + " and " + values[-1]


def _join(opener: str, pattern: str, closer: str) -> str:
    if not closer:
        return opener + pattern
    ending = re.search(r"(\[[?.!|]*\]|[?.!])$", pattern)
    at = ending.start() if ending else len(pattern)
    return opener + pattern[:at] + closer + pattern[at:]


def _sloppy(rng: Random, text: str) -> str:
    if rng.random() < 0.5:
        text = capital(text)
    if rng.random() < 0.2:
        text = _lower(text)
    if rng.random() < 0.2 and not text.endswith("}"):
        text = text.rstrip("?.!")
    if rng.random() < 0.06:
        text = _typo(rng, text)
    return text


def _lower(text: str) -> str:
    return re.sub(r"\{[^{}]*\}|[^{}]+", lambda found: _lower_part(found.group()), text)


def _lower_part(part: str) -> str:
    return part if part.startswith("{") else part.lower()


def _typo(rng: Random, text: str) -> str:
    """Swap, drop or double one letter of one longer word outside the values."""
    words = [found for found in WORD.finditer(text) if not found.group().startswith("{")]
    if not words:
        return text
    word = rng.choice(words)
    at = rng.randrange(word.start() + 1, word.end() - 1)
    changed = rng.choice(
        [
            text[at + 1] + text[at],
            text[at + 1],
            text[at] * 2 + text[at + 1],
        ]
    )
    return text[:at] + changed + text[at + 2 :]


def _fill(text: str, values: dict[str, object]) -> str:
    return re.sub(r"\{(\w+)\}", lambda found: str(values[found.group(1)]), text)
