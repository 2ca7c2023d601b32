"""Lists of things by category, and the little facts that go with the words."""

from collections.abc import Sequence
from functools import cache
from random import Random

from worker.novice.chat import Message, assistant, user
from worker.novice.corpus.phrase import ask, capital, choose, neat
from worker.novice.corpus.words import CATEGORIES, HUES, NUMBERS, OPPOSITES, SOUNDS
from worker.novice.reserve import reserved

LIST = (
    "[list|name|give me|tell me|write|show me|can you name|can you list|please list|could you name"
    "|i need|write down|i want|think of|say|please name|let me hear|write a list of|make a list of"
    "|give me a list of|can you give me|do you know|name me|mention|write me|come up with|find]"
    " {n} {many}[?||.|||]",
    "[what are {n} {many}|{n} {many}|a list of {n} {many}|i need the names of {n} {many}"
    "|which {n} {many} do you know|list of {n} {many}|examples of {many}, {n} of them"
    "|give {n} examples of {many}|names of {n} {many}|{n} {many}, please|just {n} {many}"
    "|what {n} {many} [can you [think of|name|list|come up with]|do you know|come to mind]"
    "|i [would like|'d like|want|need] to [see|hear|have|read|know] {n} {many}"
    "|can you think of {n} {many}|[could|would] you [write down|list|tell me|name|give me] "
    "{n} {many}[ for me| please||]|name {n} {many} that you know|are there {n} {many} you know"
    "|{n} names of {many}|i am looking for {n} {many}|[let's|let us] list {n} {many}][?||.|||]",
)
COMMAS = "[ separated by commas| with commas| in one line| on one line| as a comma separated list]"
KIND = (
    "[what is|what's] [a|an|] {one}[?||]",
    "[what kind of thing is|what sort of thing is|tell me what is|do you know what is] {one}[?||]",
)
MEMBER = "[is|is a|is an] {one} a {kind}[?||]"
OPPOSITE = (
    "[what is|what's|tell me|give me|] the opposite of {a}[?||.]",
    "[opposite of {a}|{a} is the opposite of what|what is the reverse of {a}][?||]",
)
SOUND = (
    "[what sound does|what noise does] [a|the] {a} make[?||]",
    "[what does] [a|the] {a} [say|do][?||]",
)
HUE = (
    "[what colour is|what color is|which colour is|which colour has|what colour has] [the|a] "
    "{a}[?||]",
)
NEXT_DAY = "[what|which] [day|] [comes|is] after {a}[?||]"
NEXT_MONTH = "[what|which] [month|] [comes|is] after {a}[?||]"
AMBIGUOUS = ("orange", "violet", "iris", "daisy", "rose", "Turkey")


def listing(rng: Random) -> list[Message]:
    """One list."""
    kind, count = _kind_and_count(rng)
    many, members = CATEGORIES[kind]
    chosen = _in_turn(rng, members, count)
    wording = ask(rng, rng.choice(LIST), n=_number(rng, count), many=_other_word(rng, many))
    if rng.random() < 0.1:
        text = f"{wording.rstrip('?.')} {choose(rng, COMMAS)}"
        return [user(text.replace("  ", " ")), assistant(", ".join(chosen))]
    return [user(wording), assistant(numbered(chosen))]


def more_of_it(rng: Random) -> list[Message]:
    """A list, and then more of the same without repeats."""
    kind = rng.choice([each for each, (_, members) in CATEGORIES.items() if len(members) >= 9])
    many, members = CATEGORIES[kind]
    first, second = rng.randint(2, 4), rng.randint(1, 4)
    if reserved("list", f"{kind}/{first}"):
        return more_of_it(rng)
    chosen = _in_turn(rng, members, first + second)
    return [
        user(ask(rng, rng.choice(LIST), n=_number(rng, first), many=many)),
        assistant(numbered(chosen[:first])),
        user(
            neat(
                rng,
                "[{n} more|another {n}|give me {n} more|list {n} more|and {n} more]"
                "[ please| please.||.]",
                n=_number(rng, second),
            )
        ),
        assistant(numbered(chosen[first:])),
    ]


def little_fact(rng: Random) -> list[Message]:
    """A fact about a word of the small world."""
    return rng.choice((_kind_of, _kind_of, _member, _opposite, _sound, _hue, _following))(rng)


def numbered(entries: list[str]) -> str:
    """Return entries as numbered lines."""
    return "\n".join(f"{number}. {entry}" for number, entry in enumerate(entries, start=1))


def _kind_and_count(rng: Random) -> tuple[str, int]:
    kind = rng.choice(list(CATEGORIES))
    count = rng.randint(2, min(8, len(CATEGORIES[kind][1])))
    return _kind_and_count(rng) if reserved("list", f"{kind}/{count}") else (kind, count)


def _in_turn(rng: Random, members: Sequence[str], count: int) -> list[str]:
    """Return members as they follow one another in a circle: nothing to remember, no repeats."""
    start = rng.randrange(len(members))
    return [members[(start + at) % len(members)] for at in range(count)]


def _number(rng: Random, count: int) -> str:
    return NUMBERS[count] if rng.random() < 0.6 else str(count)


def _other_word(rng: Random, many: str) -> str:
    others = {
        "colours": "colors",
        "days of the week": "days",
        "clothes": "pieces of clothing",
        "pieces of furniture": "furniture items",
        "instruments": "musical instruments",
        "animals": "kinds of animals",
        "fruits": "different fruits",
        "jobs": "professions",
    }
    return others.get(many, many) if rng.random() < 0.4 else many


@cache
def _single_meaning() -> tuple[tuple[str, str], ...]:
    """Words that stand in exactly one category, with it."""
    words = [(word, kind) for kind, (_, members) in CATEGORIES.items() for word in members]
    counts = {word: sum(word == other for other, _ in words) for word, _ in words}
    return tuple((w, k) for w, k in words if counts[w] == 1 and w not in AMBIGUOUS)


def _kind_of(rng: Random) -> list[Message]:
    word, kind = rng.choice(_single_meaning())
    text = ask(rng, rng.choice(KIND), one=word)
    return [user(text), assistant(f"{capital(_a(word))} is {_a(kind)}.")]


def _member(rng: Random) -> list[Message]:
    word, kind = rng.choice(_single_meaning())
    asked = kind if rng.random() < 0.5 else rng.choice(list(CATEGORIES))
    answer = "Yes" if asked == kind else "No"
    text = ask(rng, MEMBER, one=word, kind=asked)
    return [user(text), assistant(f"{answer}, {_a(word)} is {_a(kind)}.")]


def _opposite(rng: Random) -> list[Message]:
    pairs = [pair.split() for pair in OPPOSITES.strip("|").split("|")]
    first, second = rng.choice(pairs)
    return [
        user(ask(rng, rng.choice(OPPOSITE), a=first)),
        assistant(f"The opposite of {first} is {second}."),
    ]


def _sound(rng: Random) -> list[Message]:
    beast, sound = rng.choice([each.split() for each in SOUNDS.strip("|").split("|")])
    return [user(ask(rng, rng.choice(SOUND), a=beast)), assistant(f"A {beast} {sound}.")]


def _hue(rng: Random) -> list[Message]:
    thing, hue = rng.choice([each.split() for each in HUES.strip("|").split("|")])
    return [user(ask(rng, rng.choice(HUE), a=thing)), assistant(f"The {thing} is {hue}.")]


def _following(rng: Random) -> list[Message]:
    kind, pattern = rng.choice((("day", NEXT_DAY), ("month", NEXT_MONTH)))
    members = CATEGORIES[kind][1]
    at = rng.randrange(len(members))
    after = members[(at + 1) % len(members)]
    return [
        user(ask(rng, pattern, a=members[at])),
        assistant(f"{after} comes after {members[at]}."),
    ]


def _a(word: str) -> str:
    if word[0].isupper():
        return word
    return ("an " if word[0] in "aeiou" else "a ") + word
