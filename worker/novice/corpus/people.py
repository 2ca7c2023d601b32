"""Picks names, places and words that the corpus may use: never a reserved one."""

from functools import cache
from random import Random

from worker.novice.corpus.lexicon import CODAS, ONSETS, SUFFIXES, VOWELS, WORDS
from worker.novice.corpus.words import BEASTS, NAMES, PLACES, THINGS
from worker.novice.reserve import free, reserved


def any_name(rng: Random) -> str:
    """Return a person's name."""
    return rng.choice(_free_names())


def two_names(rng: Random) -> tuple[str, str]:
    """Return two different names."""
    first, second = rng.sample(_free_names(), 2)
    return first, second


def any_place(rng: Random) -> str:
    """Return a city."""
    return rng.choice(_free_places())


def any_word(rng: Random) -> str:
    """Return an ordinary word."""
    return rng.choice(_free_words())


def made_up_word(rng: Random) -> str:
    """Return a word that does not exist but could."""
    syllables = [_syllable(rng) for _ in range(rng.choice((1, 2, 2, 2, 3)))]
    word = "".join(syllables) + (rng.choice(SUFFIXES.split()) if rng.random() < 0.3 else "")
    return made_up_word(rng) if reserved("word", word) or len(word) > 12 else word


def _syllable(rng: Random) -> str:
    onset, vowel = rng.choice(ONSETS.split()), rng.choice(VOWELS.split())
    return onset + vowel + (rng.choice(CODAS.split()) if rng.random() < 0.6 else "")


@cache
def _free_names() -> tuple[str, ...]:
    return free("name", NAMES)


@cache
def _free_places() -> tuple[str, ...]:
    return free("place", PLACES)


@cache
def _free_words() -> tuple[str, ...]:
    return free("word", dict.fromkeys((*WORDS, *BEASTS, *THINGS)))
