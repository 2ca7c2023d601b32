"""Spelling words letter by letter, counting letters, first and last letters, backwards."""

from random import Random

from worker.novice.chat import Message, assistant, user
from worker.novice.corpus.people import any_name, any_word, made_up_word
from worker.novice.corpus.phrase import ask, capital

SPELL = (
    "[how do you spell|how is|how do i spell|how would you spell|spell|please spell|can you spell"
    "|spell out|could you spell|spell the word|spell me the word|i want you to spell"
    "|tell me how to spell|show me how to spell|let's spell|how to spell|help me spell"
    "|spell for me|do you know how to spell|what is the spelling of|how would one spell"
    "|[please |can you |could you |would you |i need you to ||][spell|spell out|spell me] "
    "[this word|the word|the name|the following word|this|for me the word|the term|]"
    "|how [does|should|can|must|could] [one|i|you|someone|a child] [spell|write] [the word|]"
    "|what is the [right|correct|proper] [spelling of|way to spell]][:|||||||] {word}[?||.]",
    "[what are the letters of|what are the letters in|give me the letters of|list the letters of"
    "|which letters are in|tell me the letters of|name the letters in|write out the letters of"
    "|show me the letters in|say the letters of|what letters are in|what are all the letters of"
    "|[tell|show|give] me [all|each of|every one of|one by one] the letters [of|in]|what letters "
    "make up|which letters make] [the word |]{word}[?||.]",
    "[how is {word} spelled|how is {word} written|how is the word {word} spelled|spelling of {word}"
    "|how do you write {word}|{word} letter by letter|{word}: how do you spell it"
    "|can you spell {word} for me|spell {word} letter by letter|write {word} letter by letter"
    "|spell {word} out loud|split {word} into letters|break {word} into letters"
    "|now spell {word}|the spelling of {word}|{word} - how is [it|that] [spelled|written]"
    "|[please |]spell {word} [for me|slowly|once more|again|please|aloud]|{word}, spell it"
    "|[the word |]{word}: [spell it|spell that|its letters|letters] [please|]"
    "|the word is {word}, [how do i spell it|how is it spelled|spell it]][?||.]",
)
COUNT = (
    "[how many letters|how many characters] [are in|does|are there in|has] [the word |]{word}"
    "[ have||||][?||.]",
    "[count|please count|can you count] the letters [in|of] [the word |]{word}[?||.]",
    "[how long is|what is the length of] [the word ]{word}[?||.]",
    "[number of letters in {word}|the number of letters in {word}|letters in {word}, how "
    "many][?||]",
)
FIRST = (
    "[what is|what's|tell me|give me|which is|say|name|find|] the first letter [of|in] "
    "[the word |]{word}[?||.]",
    "[which|what] letter does [the word |]{word} [start|begin] with[?||.]",
)
LAST = (
    "[what is|what's|tell me|give me|which is|say|name|find|] the last letter [of|in] "
    "[the word |]{word}[?||.]",
    "[which|what] letter does [the word |]{word} end [with|in][?||.]",
)
REVERSE = (
    "[spell|write|say|type|can you spell|can you write|how do you spell|print] [the word |]{word} "
    "[backwards|in reverse|backward|from the end|the other way round|from back to front][?||.]",
    "[reverse|please reverse|turn around|flip|can you reverse] [the word |the letters of |]{word}"
    "[?||.]",
    "what is {word} [backwards|in reverse|spelled backwards|reversed][?||.]",
)


def spelling(rng: Random) -> list[Message]:
    """One exchange about the letters of a word."""
    kind = rng.choices((_spelled, _counted, _first, _last, _reversed), weights=(60, 12, 8, 8, 12))[
        0
    ]
    return kind(rng, _word(rng))


def letters(word: str) -> str:
    """Return a word's letters joined by hyphens."""
    return "-".join(word.lower())


def _spelled(rng: Random, word: str) -> list[Message]:
    return _exchange(rng, SPELL, word, letters(word))


def _counted(rng: Random, word: str) -> list[Message]:
    return _exchange(rng, COUNT, word, f"{letters(word)} has {len(word)} letters.")


def _first(rng: Random, word: str) -> list[Message]:
    return _exchange(rng, FIRST, word, f"{letters(word)} starts with {word[0].lower()}.")


def _last(rng: Random, word: str) -> list[Message]:
    return _exchange(rng, LAST, word, f"{letters(word)} ends with {word[-1].lower()}.")


def _reversed(rng: Random, word: str) -> list[Message]:
    return _exchange(rng, REVERSE, word, f"{letters(word)} backwards is {letters(word[::-1])}")


def _exchange(rng: Random, patterns: tuple[str, ...], word: str, answer: str) -> list[Message]:
    shown = f'"{word}"' if rng.random() < 0.15 else word
    return [user(ask(rng, rng.choice(patterns), word=shown)), assistant(answer)]


def _word(rng: Random) -> str:
    kind = rng.random()
    if kind < 0.35:
        return made_up_word(rng)
    if kind < 0.4:
        return any_name(rng)
    word = any_word(rng)
    return capital(word) if rng.random() < 0.1 else word
