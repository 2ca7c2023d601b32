"""Short stories: a hero, a place, a wish or a trouble, a helper, an end. Made from small frames."""

from dataclasses import dataclass
from random import Random

from worker.novice.chat import Message, assistant, user
from worker.novice.corpus.people import any_place, two_names
from worker.novice.corpus.phrase import ask, capital, choose
from worker.novice.corpus.words import BEASTS, MOODS, SPOTS, THINGS

STORY = "[a|a|a|one|a short|a little|a small|a nice|a funny|a tiny|some|a bedtime|another|a brief] "
STORY += "[story|story|story|tale]"
TELL = "[tell me|tell|write|write me|tell us|can you tell me|can you write|please tell me|i want"
TELL += "|make up|give me|could you write|read me|invent|i would like|compose|let me hear|create]"
ASKS = (
    f"{TELL} {STORY} [about|about|about|with|on|featuring] {{about}}[.|||!]",
    "[story|a story|short story|another story|now a story] [about|with] {about}[.||!]",
    f"[i would like to hear|can i [get|have|hear]|may i hear|do you know|please make up] {STORY} "
    "[about|with|of|featuring] {about}[.|?|]",
)
FREE_ASK = (
    f"[{TELL} {STORY}|story please|story time|a story please|do you know a story|tell a story"
)
FREE_ASK += "|can you tell stories|tell me something nice|i want to hear a story|one more story"
FREE_ASK += "|another story|tell me another one|tell me another story|another one][.||!]"


@dataclass(frozen=True)
class Cast:
    """Who and where a story is about; `told` is what the request names."""

    hero: str
    helper: str
    scene: str
    thing: str


BEGIN = (
    "[Once upon a time|One day|Long ago|One morning|Once], [{hero} was walking {scene}"
    "|{hero} went for a walk {scene}|{hero} was playing {scene}|{hero} sat {scene}].",
    "[There once was {hero}, who lived {scene}|{hero} lived {scene}|{hero} had a small home "
    "{scene}].",
)
PLOTS = (
    (
        "[One day|On a windy day|That morning] {hero} lost a {thing}.",
        "[{hero} looked everywhere, but the {thing} was gone|The {thing} was nowhere to be seen].",
        "[Then|Soon|After a while] {helper} came along and [asked what was wrong|offered to help].",
        "[Together they searched until it was dark|They looked under every stone and leaf].",
        "[At last|In the end] {helper} found the {thing} [under a bush|behind a wall|in the "
        "grass].",
        "[{hero} was so happy that they danced|{hero} said thank you and smiled].",
    ),
    (
        "[Suddenly|Then] {hero} found a {thing} [on the ground|under a tree|behind a big stone].",
        "[It was old and dusty, but it began to shine|It was small and it made a strange sound].",
        "{hero} [showed|carried] it to {helper}.",
        '["It belongs to the moon," said {helper}|"The moon has lost it," {helper} said].',
        "[So they gave it back when night came|So they waited for the night and gave it back].",
        "[The moon smiled and lit their way home|Since then the moon shines a little brighter].",
    ),
    (
        "{hero} [wanted to learn how to|dreamed that one day it was possible to] "
        "[sing|swim|fly|dance|bake bread|paint].",
        "[At first it was very hard|The first try went wrong, and the second one too].",
        '{helper} [saw this and came to help|laughed kindly and said, "Try again"].',
        "[They practised every day|They tried again and again until the sun went down].",
        "[After a week it worked|One evening it finally worked].",
        "[Everyone clapped, and {hero} was proud|{hero} thanked {helper} with a big hug].",
    ),
    (
        "[The sky turned dark and it began to rain|A great storm came up|It was getting cold].",
        "{hero} [was afraid and hid under a tree|looked for a dry place].",
        "[There|Just then] {hero} met {helper}, who was [wet and cold|lost and tired] too.",
        "[They shared a warm blanket and some bread|They told each other stories to be brave].",
        "[When the rain stopped, a rainbow stood in the sky|In the morning the sun came back].",
        "[They stayed friends for ever|{hero} and {helper} walked home together].",
    ),
    (
        "[It was a special day|It was the birthday of {helper}], and {hero} wanted to give "
        "{helper} a present.",
        "[But {hero} had no money|There was nothing to buy].",
        "So {hero} made a {thing} [out of wood|out of paper and leaves|with much patience].",
        "[{helper} opened the box and laughed with joy|{helper} had never seen such a fine gift].",
        "[They had cake and sang until late|They played with it the whole evening].",
        "[It was the best day of the year|Both of them slept well that night].",
    ),
    (
        "[One night|One evening] {hero} heard a strange noise [outside|near the old tree].",
        '["Who is there?" asked {hero}|{hero} took a {thing} and went to look].',
        "[It was only {helper}, who had lost the way|Behind the door stood {helper}, tired and "
        "hungry].",
        "{hero} [made some soup|shared some bread and honey] and they began to talk.",
        "[They found out that they both loved the stars|They laughed about it all night].",
        "[In the morning they were good friends|Since then they meet every evening].",
    ),
)
END = ("", "", " The end.", " And they lived happily ever after.")


def story(rng: Random) -> list[Message]:
    """One story as the user wishes it."""
    named = rng.choices(("free", "one", "two", "beasts", "place", "thing"), (2, 3, 4, 3, 2, 2))[0]
    cast, about = _cast(rng, named)
    if named == "free":
        return [user(ask(rng, FREE_ASK)), assistant(tell(rng, cast))]
    about = about.lower() if rng.random() < 0.08 else about
    text = ask(rng, rng.choice(ASKS), about=about)
    return [user(text), assistant(tell(rng, cast, with_thing=named == "thing"))]


def tell(rng: Random, cast: Cast, *, with_thing: bool = False) -> str:
    """Return a story with this cast, in a plot that needs the thing if the request names it."""
    plot = rng.choice([each for each in PLOTS if not with_thing or "{thing}" in "".join(each)])
    lines = [rng.choice(BEGIN), *plot]
    values = {"hero": cast.hero, "helper": cast.helper, "scene": cast.scene, "thing": cast.thing}
    told = [capital(choose(rng, line).format(**values)) for line in lines]
    return " ".join(told) + rng.choice(END)


def _cast(rng: Random, named: str) -> tuple[Cast, str]:
    """Choose who acts; return the cast and how the request names it."""
    first, second = two_names(rng)
    beast, other = rng.sample(BEASTS, 2)
    mood, thing, (shown, scene) = rng.choice(MOODS), rng.choice(THINGS), _scene(rng)
    creature = f"{mood} {beast}" if rng.random() < 0.5 else beast
    match named:
        case "one":
            return Cast(first, f"the {other}", scene, thing), first
        case "two":
            return Cast(first, second, scene, thing), rng.choice(
                (f"{first} and {second}",) * 3
                + (f"{first} and her friend {second}", f"{first} and a friend named {second}")
            )
        case "beasts":
            return Cast(f"the {beast}", f"the {other}", scene, thing), rng.choice(
                (
                    f"{_an(beast)} and {_an(other)}",
                    f"the {beast} and the {other}",
                    f"{_an(creature)} who meets {_an(other)}",
                )
            )
        case "place":
            hero = first if rng.random() < 0.5 else f"the {creature}"
            told = first if hero == first else _an(creature)
            return Cast(hero, f"the {other}", scene, thing), f"{told} {shown}"
        case "thing":
            return Cast(first, f"the {beast}", scene, thing), rng.choice(
                (f"{first} and a {thing}", f"{first} who has a {thing}", f"{first} and the {thing}")
            )
        case _:
            return Cast(first, f"the {other}", scene, thing), ""


def _scene(rng: Random) -> tuple[str, str]:
    """Return a place as the request and as the story name it."""
    if rng.random() < 0.4:
        place = any_place(rng)
        return f"in {place}", f"in {place}"
    spot = rng.choice(SPOTS)
    word = rng.choice(("in", "near", "at"))
    return f"{rng.choice((word, 'in'))} {rng.choice(('a', 'the'))} {spot}", f"{word} the {spot}"


def _an(words: str) -> str:
    return ("an " if words[0] in "aeiou" else "a ") + words
