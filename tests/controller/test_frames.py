"""No client sees half an event, and no byte is lost or changed."""

import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloister.errors import TooLarge, Unavailable
from cloister.sse import Parser
from controller.frames import Events

BROKE = Unavailable("the worker's answer broke off")
STREAMS = [
    b'data: {"a":1}\n\ndata: {"b":2}\n\n: ping\n\ndata: [DONE]\n\n',
    b'data: {"a":1}\r\n\r\n: ping\r\n\r\ndata: {"b":2}\r\n\r\ndata: [DONE]\r\n\r\n',
    b'data: {"a":1}\r\rdata: {"b":2}\r\rdata: [DONE]\r\r',
]


def pieces(whole: bytes, cuts: list[int]) -> list[bytes]:
    places = sorted({cut % len(whole) for cut in cuts} | {0, len(whole)})
    return [whole[start:end] for start, end in pairwise(places)]


@given(st.sampled_from(STREAMS), st.lists(st.integers(0, 200)))
def test_all_bytes_arrive_unchanged(whole: bytes, cuts: list[int]) -> None:
    frames = Events()
    sent = b"".join(frames.take(piece) for piece in pieces(whole, cuts))
    assert sent + frames.rest() == whole


@given(st.sampled_from(STREAMS), st.lists(st.integers(0, 200)), st.integers(0, 200))
def test_broken_anywhere_every_event_is_whole_json(whole: bytes, cuts: list[int], end: int) -> None:
    frames = Events()
    parts = pieces(whole[: end % len(whole) + 1], cuts)
    sent = b"".join(frames.take(piece) for piece in parts) + frames.ending(BROKE)
    *events, last = [event.data for event in Parser().feed(sent)]
    assert last == "[DONE]"
    contents = [json.loads(data) for data in events]
    assert len([content for content in contents if "error" in content]) <= 1


def test_whole_events_pass_without_a_copy() -> None:
    piece = b"data: 1\n\n"
    assert Events().take(piece) is piece


def test_nothing_follows_a_done_that_is_out() -> None:
    frames = Events()
    frames.take(b"data: [DONE]\n\n")
    assert frames.ending(BROKE) == b""


def test_endless_event_is_given_up() -> None:
    frames = Events(limit=100)
    with pytest.raises(TooLarge):
        frames.take(b"x" * 101)
