"""Server-sent events, whole and in pieces."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloister.errors import TooLarge
from cloister.sse import DONE, PING, Event, Parser, frame

STREAM = (
    b"\xef\xbb\xbfdata: one\n\n"
    + PING
    + b"event: named\r\ndata: two\r\ndata:lines\r\n\r\n"
    + b"id: 7\rdata\rdata: \xf0\x9f\x91\x8d\r\r"
    + b"retry: 5\n\n"
    + DONE
    + b"data: broken off\n"
)
EVENTS = [Event("one"), Event("two\nlines", "named"), Event("\n👍"), Event("[DONE]")]


@given(st.lists(st.integers(0, len(STREAM)), max_size=12))
def test_pieces_give_the_same_events_as_the_whole(cuts: list[int]) -> None:
    parser = Parser()
    places = [0, *sorted(cuts), len(STREAM)]
    pieces = [STREAM[a:b] for a, b in pairwise(places)]
    assert [event for piece in pieces for event in parser.feed(piece)] == EVENTS


def test_single_bytes_give_the_same_events() -> None:
    parser = Parser()
    assert [event for byte in STREAM for event in parser.feed(bytes([byte]))] == EVENTS


@pytest.mark.parametrize("piece", [b"x" * 10, b"data: x\n"])
def test_endless_event_is_refused(piece: bytes) -> None:
    parser = Parser(limit=100)
    with pytest.raises(TooLarge, match="100 bytes"):
        _ = [parser.feed(piece) for _ in range(50)]


def test_frame_is_one_event() -> None:
    assert Parser().feed(frame(b'{"a":1}')) == [Event('{"a":1}')]
    assert Parser().feed(DONE)[0].done


def test_data_of_two_lines_is_a_bug() -> None:
    with pytest.raises(AssertionError):
        frame(b"a\nb")
