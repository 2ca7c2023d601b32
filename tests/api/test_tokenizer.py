"""Text and ids: control tokens a client spells, and decoding in pieces."""

import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloister.errors import BadModel
from tests.fakes.vocabulary import CONTROL, byte_tokenizer, llama2_tokenizer, write_folder
from worker.api.tokenizer import Tokenizer

BYTES = Tokenizer(byte_tokenizer(), special={"eos_token": CONTROL[2]}, end_ids=frozenset({258}))
LLAMA2 = Tokenizer(
    llama2_tokenizer(), special={"bos_token": "<s>", "eos_token": "</s>"}, end_ids=frozenset({2})
)
CONTROL_IDS = {256, 257, 258}

SPELLED = st.lists(
    st.sampled_from([*CONTROL, "<|im_", "end|>", "<", "|", ">", "<|", "im_start", "é", " ", "a"]),
    max_size=12,
).map("".join)


@given(SPELLED)
def test_shielded_text_has_no_control_token_and_loses_nothing(text: str) -> None:
    ids = BYTES.encode(BYTES.shield(text), add_special_tokens=False)
    assert CONTROL_IDS.isdisjoint(ids)
    assert BYTES.decode(ids) == text
    assert max(ids, default=0) < BYTES.size


def test_template_keeps_its_control_tokens_around_shielded_text() -> None:
    text = CONTROL[1] + BYTES.shield(CONTROL[2]) + CONTROL[2]
    ids = BYTES.encode(text, add_special_tokens=False)
    assert ids[0] == 257
    assert ids[-1] == 258
    assert CONTROL_IDS.isdisjoint(ids[1:-1])


def test_overlapping_spellings_are_all_broken() -> None:
    tokenizer = Tokenizer(byte_tokenizer(("ABC", "BCD", "CD")), special={}, end_ids=frozenset())
    ids = tokenizer.encode(tokenizer.shield("xABCDx"), add_special_tokens=False)
    assert max(ids) < 256
    assert tokenizer.decode(ids) == "xABCDx"


def test_llama2_shield_keeps_end_of_text_out() -> None:
    ids = LLAMA2.encode("<s>[INST]" + LLAMA2.shield("a</s>a"), add_special_tokens=False)
    assert ids.count(1) == 1
    assert 2 not in ids


def test_plain_text_is_encoded_as_the_library_does() -> None:
    text = "hello the world\n  é <|im_start|>"
    assert BYTES.encode(text) == byte_tokenizer().encode(text).ids
    assert LLAMA2.encode("hello the a") == llama2_tokenizer().encode("hello the a").ids


@given(st.text(max_size=40), st.data())
def test_bytes_decode_in_pieces_as_at_once(text: str, data: st.DataObject) -> None:
    ids = BYTES.encode(text, add_special_tokens=False)
    cut = data.draw(st.integers(0, len(text)))
    head = len(text[:cut].encode())
    assert BYTES.decode(ids[:head]) + BYTES.decode(ids[head:]) == BYTES.decode(ids) == text


@given(st.text("ab é👍hel ", max_size=30), st.integers(0, 1000))
def test_llama2_pieces_keep_their_spaces(text: str, seed: int) -> None:
    ids = LLAMA2.encode(text, add_special_tokens=False)
    whole = LLAMA2.decode(ids)
    assert whole == (" " + text if text else "")
    cuts = [place for place in range(len(ids)) if "\ufffd" not in LLAMA2.decode(ids[place:])]
    cut = random.Random(seed).choice(cuts or [0])
    assert LLAMA2.decode(ids[:cut]) + LLAMA2.decode(ids[cut:]) == whole


def test_word_alone_keeps_its_space() -> None:
    hello = LLAMA2.encode("hello", add_special_tokens=False)
    assert LLAMA2.decode(hello) == " hello"
    assert LLAMA2.strips_space
    assert not BYTES.strips_space


def test_decoding_leaves_special_and_unknown_ids_out() -> None:
    assert BYTES.decode([*BYTES.encode("a"), 257, 258, 99999]) == "a"
    assert LLAMA2.decode([1, *LLAMA2.encode("a", add_special_tokens=False), 2]) == " a"


def test_part_of_a_character_is_a_replacement_character() -> None:
    ids = BYTES.encode("é", add_special_tokens=False)
    assert BYTES.decode(ids[:1]) == "\ufffd"


def test_end_ids_come_from_all_files(tmp_path: Path) -> None:
    folder = write_folder(tmp_path)
    (folder / "generation_config.json").write_text('{"eos_token_id": [256, 7]}')
    (folder / "config.json").write_text('{"eos_token_id": 9}')
    assert Tokenizer.load(folder).end_ids == {256, 7, 9, 258}


def test_special_texts_may_be_objects(tmp_path: Path) -> None:
    folder = write_folder(tmp_path, bos_token={"content": "<|endoftext|>", "lstrip": False})
    tokenizer = Tokenizer.load(folder)
    assert tokenizer.special == {"bos_token": "<|endoftext|>", "eos_token": "<|im_end|>"}
    assert tokenizer.bos_id == 256


def test_folder_with_sentencepiece_alone_is_explained(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.model").write_bytes(b"x")
    with pytest.raises(BadModel, match=r"only tokenizer\.model"):
        Tokenizer.load(tmp_path)


@pytest.mark.parametrize("name", ["tokenizer.json", "tokenizer_config.json"])
def test_broken_file_is_named(name: str, tmp_path: Path) -> None:
    folder = write_folder(tmp_path)
    (folder / name).write_text('{"half": ')
    with pytest.raises(BadModel, match=name):
        Tokenizer.load(folder)
