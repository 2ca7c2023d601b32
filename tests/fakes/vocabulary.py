"""Tokenizers as real ones are, but small: bytes as tokens, and SentencePiece's way."""

import json
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Tokenizer, decoders, normalizers, pre_tokenizers
from tokenizers.models import BPE

CHATML = (
    "{% for message in messages %}"
    "<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n"
    "{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
CONTROL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")


def byte_tokenizer(control: tuple[str, ...] = CONTROL) -> Tokenizer:
    """Each byte is a token, then come the control tokens."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(BPE({symbol: id for id, symbol in enumerate(alphabet)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(text, normalized=False) for text in control])
    return tokenizer


def llama2_tokenizer() -> Tokenizer:
    """Metaspace words with byte fallback, as in Llama 2's tokenizer.json."""
    bytes_ = [f"<0x{byte:02X}>" for byte in range(256)]
    letters = [*"▁abcdefghijklmnopqrstuvwxyzH,.!<>/|_[]IST"]
    words = ["▁a", "▁the", "he", "▁he", "ll", "▁hell", "▁hello", "▁▁"]
    names = ["<unk>", "<s>", "</s>", *bytes_, *letters, *words]
    merges = [("▁", "a"), ("h", "e"), ("▁", "he"), ("l", "l"), ("▁he", "ll"), ("▁hell", "o")]
    merges += [("▁", "▁")]
    vocabulary = {name: id for id, name in enumerate(names)}
    model = BPE(vocabulary, merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True)
    tokenizer = Tokenizer(model)
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
    )
    tokenizer.decoder = decoders.Sequence(
        [
            decoders.Replace("▁", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(" ", 1, 0),
        ]
    )
    tokenizer.add_special_tokens(
        [AddedToken(text, normalized=False) for text in ("<unk>", "<s>", "</s>")]
    )
    return tokenizer


def write_folder(
    folder: Path,
    tokenizer: Tokenizer | None = None,
    *,
    template: str | None = CHATML,
    eos: str = "<|im_end|>",
    **config: Any,
) -> Path:
    """A model folder with all that concerns text."""
    folder.mkdir(parents=True, exist_ok=True)
    (tokenizer or byte_tokenizer()).save(str(folder / "tokenizer.json"))
    values = {"eos_token": eos, "tokenizer_class": "PreTrainedTokenizerFast", **config}
    if template is not None:
        values["chat_template"] = template
    (folder / "tokenizer_config.json").write_text(json.dumps(values))
    return folder
