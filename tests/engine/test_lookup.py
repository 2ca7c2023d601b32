"""Prompt lookup finds what a search of the whole text would, and rests where that is nothing."""

from hypothesis import given
from hypothesis import strategies as st

from worker.engine.drafts import Past
from worker.engine.worth import ALLOWANCE, MOST_PAUSE, SAVED, Cost, Odds, lengths

CHEAP = Cost(fixed=0.1, row=0.05)


def searched(text: list[int]) -> int:
    """How many tokens end the text and an earlier part of it, by looking everywhere."""
    for size in (3, 2, 1):
        ends = [text[at - size : at] for at in range(size, len(text))]
        count = ends.count(text[-size:])
        if count == 1 or (count and size > 1):
            return size
    return 0


@given(text=st.lists(st.integers(0, 4), min_size=2, max_size=25), steps=st.lists(st.integers(1, 9)))
def test_lookup_finds_what_a_search_of_the_text_finds(text: list[int], steps: list[int]) -> None:
    past, read = Past(), 1
    for step in (*steps, len(text)):
        read = min(read + step, len(text))
        past.follow(text[:read])
        assert past.common == searched(text[:read])
        end, place = text[read - past.common : read], past.place
        assert end == text[place - past.common : place]
        assert past.common == 0 or place < read


def looks(odds: Odds, steps: int) -> list[int]:
    """The steps in which a sequence looks, if it never finds anything."""
    seen: list[int] = []
    for step in range(steps):
        if odds.may_look(CHEAP):
            seen.append(step)
            odds.rest()
    return seen


def test_looks_in_vain_come_ever_more_rarely() -> None:
    odds = Odds()
    assert looks(odds, 34) == [0, 2, 5, 10, 19, 28]
    assert MOST_PAUSE == 8
    odds.learn(1, 1, 0.1)
    first, second, *_ = looks(odds, 20)
    assert second - first == 2  # a right guess makes it eager again


def test_a_sequence_that_lost_its_bet_looks_again_when_its_allowance_suffices() -> None:
    odds = Odds()
    odds.learn(8, 0, SAVED)
    waited = next(step for step in range(200) if odds.may_look(CHEAP))
    assert waited == int(CHEAP.row / (ALLOWANCE / 2))
    odds.learn(8, 0, odds.saved)
    assert next(step for step in range(200) if odds.may_look(CHEAP)) > waited


def test_guesses_that_were_always_right_are_wished_as_long_as_they_may_be() -> None:
    odds = Odds()
    for _ in range(500):
        odds.learn(8, 8, 0.1)
    assert lengths([odds], CHEAP, 8) == [8]
