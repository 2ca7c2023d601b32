"""Rows of random tokens that come twice: what teaches a network to look back.

Attention learns to find an earlier token and copy its successor (induction heads, Olsson et al.
2022) within two hundred steps when every token of a row's second half depends on it, and hardly at
all from a few million tokens of talk. Copying, spelling, names, JSON and calls all build on it.
"""

from collections.abc import Iterator
from random import Random

from worker.novice.batches import Row

FIRST = 8000  # rows before anything else
SHARE = 0.03  # of the rows afterwards, lest it be forgotten
SHORTEST, LONGEST = 6, 48
SPECIALS = 8  # ids of control tokens, which have one meaning only


def echo(rng: Random, vocabulary: int) -> Row:
    """Return random tokens twice; all of the second time but its first have a loss."""
    length = rng.randint(SHORTEST, LONGEST)
    tokens = [rng.randrange(SPECIALS, vocabulary) for _ in range(length)]
    return Row(tokens * 2, list(range(length, 2 * length - 1)))


def with_echoes(rows: Iterator[Row], rng: Random, vocabulary: int, *, first: int) -> Iterator[Row]:
    """Yield echoes first, then `rows` with an echo now and then."""
    for _ in range(first):
        yield echo(rng, vocabulary)
    for row in rows:
        if rng.random() < SHARE:
            yield echo(rng, vocabulary)
        yield row
