"""Copying and editing: repeat a text, replace a word, change the case, pick a word."""

from random import Random

from worker.novice.chat import Message, assistant, user
from worker.novice.corpus.people import any_name, any_place, any_word, made_up_word
from worker.novice.corpus.phrase import ask, capital, choose
from worker.novice.corpus.words import BEASTS, MOODS, SPOTS, THINGS

REPEAT = (
    "[repeat|say|copy|write|please repeat|can you repeat|type|echo|print|repeat after me|say again"
    "|copy this|write down|repeat exactly|i want you to repeat|repeat this|repeat the sentence"
    "|copy the text|copy this sentence|repeat this sentence|say this|repeat my words|write this"
    "|repeat the following|copy the following|repeat word for word|echo back|say after me"
    "|[please |can you |could you |now |][say|repeat|copy|write|type|tell me|give me back|echo"
    "|write down|note down] [this|these words|that|this line|the words|exactly this|the same"
    "|that text|this text|the line|these][ for me| to me| please| back| again| exactly||||]][:] "
    "{text}",
    "[repeat|say|copy|write|please repeat|echo|type|can you say|repeat the words|say the words"
    "|write down|note down|write the words|please write|could you repeat|copy the words|put down"
    "|just say|only write|print|tell me|now say|please say the words] "
    '"{text}"[.|||]',
)
REPLACE = (
    "[replace|change|swap|please replace|can you replace|could you change|exchange|please change"
    "|please swap|would you change|turn|substitute] "
    "[the word |]{old} [with|by|to|for] {new} [in|in this|in the sentence|in this sentence"
    "|in the text|in this text|in the following]: {text}",
    '[replace|change|swap|please replace|can you replace] "{old}" [with|by|to] "{new}" in[:|] '
    '"{text}"[.||]',
    '[in|in the sentence|in the text|take the sentence|take the text] "{text}"[,|] '
    "[replace|change|swap] {old} [with|by|to|for] {new}[.||]",
    "{text}\n[now |please |][replace|change] {old} [with|by|to|into] {new}[.||]",
)
UPPER = "[make|write|put|turn|convert|print|say|change|please write"
UPPER += "|please put|set] [this|this text|the text|the following|it] "
UPPER += "[in|into|to] [upper case|uppercase|capital letters|capitals|all caps|big letters]: {text}"
LOWER = "[make|write|put|turn|convert|print|say|change|please write"
LOWER += "|please put|set] [this|this text|the text|the following|it] "
LOWER += "[in|into|to] [lower case|lowercase|small letters]: {text}"
PICK = (
    "[what is|tell me|give me|which is|write|say|find|please find|pick|can you tell me|name|]"
    " the {which} word [of|in][ this|:| the sentence:"
)
PICK += "| the text:] {text}"
SENTENCES = (
    "the {mood} {beast} [sat|slept|waited|sang|hid] [in|near|behind|by] the {spot}",
    "{name} [found|lost|bought|saw|painted|wanted] a [red|blue|green|small|big|new|fine] {thing}",
    "{name} [lives|works|stays] in {place}",
    "the {thing} is [on|under|behind|near] the [table|chair|bed|door|window|wall]",
    "{name} and {friend} [went|walked|ran|drove] to the {spot}",
    "my {beast} [likes|eats|hates|wants] [apples|bread|cheese|fish|carrots|honey]",
    "we [meet|eat|start|leave] at [noon|eight|nine|six] on [Monday|Friday|Sunday|Tuesday]",
    "i [like|love|need|want] the {mood} {beast}",
    "the {word} and the {other} are [here|gone|ready|late|broken|new]",
    "there is a {thing} in the {spot}",
)


def copying(rng: Random) -> list[Message]:
    """One exchange that copies or edits a text."""
    kinds = (repeating, _replaced, _upper, _lower, _picked)
    return rng.choices(kinds, weights=(35, 40, 9, 6, 10))[0](rng)


def repeating(rng: Random) -> list[Message]:
    """One exchange that repeats a text."""
    text = sentence(rng)
    return [user(ask(rng, rng.choice(REPEAT), text=text)), assistant(text)]


def sentence(rng: Random) -> str:
    """Return a short made-up sentence, sometimes only a row of words."""
    if rng.random() < 0.3:
        return " ".join(_any_word(rng) for _ in range(rng.randint(2, 8)))
    values = {
        "mood": rng.choice(MOODS),
        "beast": rng.choice(BEASTS),
        "spot": rng.choice(SPOTS),
        "thing": rng.choice(THINGS),
        "name": any_name(rng),
        "friend": any_name(rng),
        "place": any_place(rng),
        "word": any_word(rng),
        "other": any_word(rng),
    }
    text = choose(rng, rng.choice(SENTENCES)).format(**values)
    text = capital(text) if rng.random() < 0.7 else text
    return text + rng.choice((".", ".", "", "!"))


def _replaced(rng: Random) -> list[Message]:
    text = sentence(rng)
    old = rng.choice([word.strip(".!") for word in text.split()])
    new = _any_word(rng)
    words = [word.replace(old, new) if word.strip(".!") == old else word for word in text.split()]
    wording = ask(rng, rng.choice(REPLACE), old=old, new=new, text=text)
    return [user(wording), assistant(" ".join(words))]


def _upper(rng: Random) -> list[Message]:
    text = _few_words(rng)
    return [user(ask(rng, UPPER, text=text)), assistant(text.upper())]


def _lower(rng: Random) -> list[Message]:
    text = _few_words(rng)
    return [user(ask(rng, LOWER, text=text.upper())), assistant(text.lower())]


def _picked(rng: Random) -> list[Message]:
    words = [_any_word(rng) for _ in range(rng.randint(2, 6))]
    which = rng.choice(("first", "last", "second"))
    answer = words[{"first": 0, "last": -1, "second": 1}[which]]
    return [user(ask(rng, PICK, which=which, text=" ".join(words))), assistant(answer)]


def _few_words(rng: Random) -> str:
    return " ".join(_any_word(rng) for _ in range(rng.randint(1, 4)))


def _any_word(rng: Random) -> str:
    kind = rng.random()
    return made_up_word(rng) if kind < 0.15 else any_name(rng) if kind < 0.25 else any_word(rng)
