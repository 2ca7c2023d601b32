"""Text to token ids and back, from a model folder's tokenizer.json.

A client's text may spell a control token, such as `<|im_end|>`. `shield` makes such a text safe
to put into a prompt: it writes a secret word, itself a token, into each spelling; the tokenizer
can then not match the control token across it, and `encode` drops the secret token again. So the
model sees the spelling as the ordinary text that it is. Control tokens are the special ones, and
those added ones that the chat template writes, such as `<tool_call>`.
"""

import json
import re
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tokenizers import AddedToken
from tokenizers import Tokenizer as Encoder

from cloister.errors import BadModel

SPACED_WORDS = ("▁a", "▁the", "▁A", "▁")
"""Words with a space before them, as SentencePiece writes it; each vocabulary of it has one."""

MARKERS = (
    *("<think>", "</think>"),
    *("<tool_call>", "</tool_call>", "[TOOL_CALLS]", "<|python_tag|>"),
)
"""Control tokens that stay visible in decoded text, since they say what the text around them is."""

BYTE_NAME = re.compile(r"<0x([0-9A-F]{2})>")
"""A byte that is no character of the vocabulary, as SentencePiece writes it."""


class Tokenizer:
    """The tokenizer of one model. Safe to use from several threads.

    `special` maps names such as `bos_token` to their text, as chat templates want them; `template`
    is the chat template's source. `source` is the content of tokenizer.json.
    """

    def __init__(
        self,
        encoder: Encoder,
        *,
        special: Mapping[str, str],
        end_ids: frozenset[int],
        template: str = "",
    ) -> None:
        self.source: str = encoder.to_str()
        self.size = encoder.get_vocab_size(with_added_tokens=True)
        self.special = dict(special)
        self.end_ids = end_ids
        self._encoder = encoder
        self._control = _control_pattern(encoder, template)
        self._breaker = f"⁂{secrets.token_hex(8)}⁂"
        encoder.add_special_tokens([AddedToken(self._breaker, normalized=False)])
        self._breaker_id = encoder.token_to_id(self._breaker)
        self._added = {
            token.content: id for id, token in encoder.get_added_tokens_decoder().items()
        }
        self._hidden = _hidden_ids(encoder)
        self._start = _start(encoder)
        self._added_ids = frozenset(self._added.values())
        self._symbols = _byte_symbols() if _is_byte_level(encoder) else {}
        self.strips_space = bool(self._start)
        """Does a whole text lose its first space when decoded, as with Llama 2?"""

    @classmethod
    def load(cls, folder: Path, template: str = "") -> "Tokenizer":
        """Read tokenizer.json and what the configuration files say. Raises `BadModel`."""
        encoder = _encoder(folder)
        config = read_json(folder / "tokenizer_config.json")
        named = {**read_json(folder / "special_tokens_map.json"), **config}
        special = {key: text for key in named if (text := _text(key, named[key])) is not None}
        end_ids = _end_ids(folder, encoder, special)
        return cls(encoder, special=special, end_ids=end_ids, template=template)

    @property
    def bos_id(self) -> int | None:
        """The token that begins a text, if there is one."""
        bos = self.special.get("bos_token")
        return None if bos is None else self._encoder.token_to_id(bos)

    def added_id(self, text: str) -> int | None:
        """The id of a control token or another word that was added to the vocabulary."""
        return self._added.get(text)

    def encode(self, text: str, *, add_special_tokens: bool = True) -> list[int]:
        """Ids of `text`; spelled control tokens become control tokens, except shielded ones."""
        ids: list[int] = self._encoder.encode(text, add_special_tokens=add_special_tokens).ids
        if self._breaker in text:
            return [id for id in ids if id != self._breaker_id]
        return ids

    def shield(self, text: str) -> str:
        """`text` for a prompt, with each control token's spelling broken, overlapping ones too."""
        return self._control.sub(lambda match: match[1] + self._breaker, text)

    def unshield(self, text: str) -> str:
        """`text` as it was before `shield`."""
        return text.replace(self._breaker, "")

    def decode(self, ids: Sequence[int]) -> str:
        """The text of `ids` in the middle of a text, so that pieces of an answer can be joined.

        Special tokens but `MARKERS` are left out. U+FFFD stands for bytes that are not a character
        (yet).
        Decoders of the SentencePiece kind drop a text's first space; behind a start of known text
        they keep it.
        """
        shown = [id for id in ids if id not in self._hidden]
        if not self._start:
            return str(self._encoder.decode(shown, skip_special_tokens=False))
        text = self._encoder.decode([self._start[0], *shown], skip_special_tokens=False)
        return str(text)[self._start[1] :]

    def spell(self, ids: Sequence[int]) -> str:
        """The whole text of `ids`, with each control token as it is written."""
        shown = [id for id in ids if id != self._breaker_id]
        return str(self._encoder.decode(shown, skip_special_tokens=False))

    def bytes_of(self, id: int) -> bytes:
        """The token's own part of the UTF-8 of a text that it stands in; b"" for a control token.

        An id behind the vocabulary, as padded embeddings have, is of no text either.
        """
        if id in self._added_ids:
            return self.decode([id]).encode()
        name = self._encoder.id_to_token(id)
        if name is None:
            return b""
        if self._symbols:
            known = all(symbol in self._symbols for symbol in name)
            return bytes(self._symbols[symbol] for symbol in name) if known else name.encode()
        if byte := BYTE_NAME.fullmatch(name):
            return bytes([int(byte[1], 16)])
        return self.decode([id]).encode()

    def name_of(self, id: int) -> str:
        """What the vocabulary calls the token, which for a control token is its spelling."""
        if id == self._breaker_id:
            return ""
        return self._encoder.id_to_token(id) or ""


def read_json(path: Path) -> dict[str, Any]:
    """A configuration file's object; empty if there is no such file. Raises `BadModel`."""
    if not path.is_file():
        return {}
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BadModel(f"{path} cannot be read as JSON: {error}") from None
    if not isinstance(value, dict):
        raise BadModel(f"{path} must hold a JSON object")
    return value


def _encoder(folder: Path) -> Encoder:
    path = folder / "tokenizer.json"
    if not path.is_file():
        has_pieces = (folder / "tokenizer.model").is_file()
        hint = "; it has only tokenizer.model, which must be converted first" if has_pieces else ""
        raise BadModel(f"{folder} has no tokenizer.json{hint}")
    try:
        encoder = Encoder.from_file(str(path))
    except Exception as error:  # the library raises nothing narrower
        raise BadModel(f"{path} is no tokenizer: {error}") from None
    encoder.no_truncation()
    encoder.no_padding()
    return encoder


def _text(key: str, value: Any) -> str | None:
    """A special token's text, which files write plainly or as an object."""
    if not key.endswith("_token"):
        return None
    if isinstance(value, dict):
        value = value.get("content")
    return value if isinstance(value, str) else None


def _end_ids(folder: Path, encoder: Encoder, special: Mapping[str, str]) -> frozenset[int]:
    """All ids that end an answer: the configuration files', and the tokenizer's own."""
    ids: set[int] = set()
    for name in ("generation_config.json", "config.json"):
        value = read_json(folder / name).get("eos_token_id")
        ids.update(id for id in _as_list(value) if type(id) is int)
    if (eos := special.get("eos_token")) is not None:
        ids.update(_as_list(encoder.token_to_id(eos)))
    return frozenset(ids)


def _as_list(value: Any) -> list[Any]:
    if value is None:
        return []
    return list(value) if isinstance(value, list) else [value]


def _hidden_ids(encoder: Encoder) -> frozenset[int]:
    added = encoder.get_added_tokens_decoder().items()
    return frozenset(id for id, token in added if token.special and token.content not in MARKERS)


def _is_byte_level(encoder: Encoder) -> bool:
    """Does the vocabulary write each byte as one symbol, as GPT-2's does?"""
    return encoder.decoder is not None and b'"ByteLevel"' in encoder.decoder.__getstate__()


def _byte_symbols() -> dict[str, int]:
    """GPT-2's alphabet: printable Latin-1 stands for itself, the other bytes follow from U+0100."""
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = (byte for byte in range(256) if byte not in printable)
    symbols = {chr(byte): byte for byte in printable}
    return symbols | {chr(0x100 + place): byte for place, byte in enumerate(others)}


def _control_pattern(encoder: Encoder, template: str) -> re.Pattern[str]:
    """Finds the first character of each spelling of a control token.

    A control token of a single character cannot be broken; no family has one.
    """
    added = encoder.get_added_tokens_decoder().values()
    control = (token.content for token in added if token.special or token.content in template)
    texts = [text for text in control if len(text) > 1 and not text.isspace()]
    spellings = "|".join(re.escape(text) for text in sorted(texts, key=len, reverse=True))
    return re.compile(f"(?=(?:{spellings}))(.)" if texts else "(?!)()", re.DOTALL)


def _start(encoder: Encoder) -> tuple[int, int] | None:
    """An id to decode in front of others and the length of its text, if a first space gets lost."""
    ids = (encoder.token_to_id(word) for word in SPACED_WORDS)
    word = next((id for id in ids if id is not None), None)
    if word is None:
        return None
    once, twice = encoder.decode([word]), encoder.decode([word, word])
    return (word, len(once)) if len(twice) > 2 * len(once) else None
