import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models

from tests.engine.fakes import ByteVocabulary
from worker.engine.text import TextStream


def pieces(stream: TextStream, ids: list[int]) -> list[str]:
    return [*(stream.push(id) for id in ids), stream.end()]


@given(st.text(min_size=0, max_size=80))
def test_pieces_join_to_the_text_and_hold_no_half_character(text: str) -> None:
    out = pieces(TextStream(ByteVocabulary()), list(text.encode()))
    assert "".join(out) == text.rstrip("\ufffd")
    assert text.count("\ufffd") >= "".join(out).count("\ufffd")


@given(st.binary(max_size=120))
def test_any_bytes_give_the_text_of_all_of_them(data: bytes) -> None:
    whole = data.decode(errors="replace").rstrip("\ufffd")
    assert "".join(pieces(TextStream(ByteVocabulary()), list(data))) == whole


@given(
    text=st.text("ab\u00e9", max_size=40),
    stops=st.lists(st.text("ab\u00e9", min_size=1, max_size=4), min_size=1, max_size=3),
)
def test_text_ends_before_the_stop_string_that_is_complete_first(
    text: str, stops: list[str]
) -> None:
    stream = TextStream(ByteVocabulary(), tuple(stops))
    out = ""
    for id in text.encode():
        out += stream.push(id)
        assert not any(stop in out for stop in stops)
        if stream.stopped:
            break
    out += stream.end()
    grown = (text[:length] for length in range(len(text) + 1))
    said = next((some for some in grown if any(stop in some for stop in stops)), text)
    ends = (said.find(stop) for stop in stops if stop in said)
    assert out == said[: min(ends, default=len(said))]
    assert stream.stopped == any(stop in text for stop in stops)


def test_text_is_not_held_longer_than_needed() -> None:
    stream = TextStream(ByteVocabulary(), ("END",))
    assert [stream.push(id) for id in b"aEbENc"] == ["a", "", "Eb", "", "", "ENc"]


def test_kept_stop_string_is_the_end_of_the_text() -> None:
    for stops in (("END",), ("ENDING", "END", "D")):
        stream = TextStream(ByteVocabulary(), stops, keeps_stop=True)
        assert "".join(pieces(stream, list(b"aEbENDc"))) == "aEbEND"


def test_nothing_follows_a_stop() -> None:
    stream = TextStream(ByteVocabulary(), ("x",))
    assert pieces(stream, list(b"axb")) == ["a", "", "", ""]


def llama2_like() -> Tokenizer:
    """Pieces with a word mark, and bytes as a fallback, as SentencePiece models have them."""
    words = {"\u2581Hello": 0, "\u2581world": 1, "\u2581": 2, "lo": 3}
    bytes_ = {f"<0x{value:02X}>": 4 + value for value in range(256)}
    tokenizer = Tokenizer(models.BPE({**words, **bytes_}, [], byte_fallback=True))
    tokenizer.decoder = decoders.Sequence(
        [
            decoders.Replace("\u2581", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(" ", 1, 0),
        ]
    )
    return tokenizer


@pytest.mark.parametrize(
    "ids",
    [
        [0, 1, 1, 0],
        [0, *(4 + byte for byte in "\u4e16\u754c\u00e9".encode()), 1],
        [*(4 + byte for byte in "\U0001f600\U0001f600".encode()), 3, 1],
        [0, 1] * 60 + [4 + byte for byte in "\u4e16".encode() * 20] + [1, 3] * 30,
    ],
)
def test_sentencepiece_text_equals_its_whole_decoding(ids: list[int]) -> None:
    tokenizer = llama2_like()
    out = pieces(TextStream(tokenizer), ids)
    assert "".join(out) == tokenizer.decode(ids)
    assert not any("\ufffd" in piece for piece in out)
