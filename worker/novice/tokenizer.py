"""Novice's byte-level BPE tokenizer: trained on the corpus, saved as ordinary Hugging Face files.

Each digit is its own token and a hyphen joins the letter behind it, so sums and spelled words
have one token per digit and per letter. A space is its own token too: a word has the same tokens
behind a space, a quote or nothing, so that copying it is repeating what was seen.
"""

import json
from collections.abc import Iterable
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

from worker.novice.template import TEMPLATE

END_OF_TEXT = "<|endoftext|>"
TURN_START = "<|im_start|>"
TURN_END = "<|im_end|>"
SPECIAL = (END_OF_TEXT, TURN_START, TURN_END)
TOOL_MARKS = ("<tool_call>", "</tool_call>", "<tool_response>", "</tool_response>")
PIECES = r"'(?:s|t|re|ve|m|ll|d)(?!\p{L})|-?\p{L}+|\p{N}| |[^\s\p{L}\p{N}]+|\s+"


def train_tokenizer(texts: Iterable[str], vocabulary: int) -> Tokenizer:
    """Learn the merges from texts; every byte is in the vocabulary, so any text round-trips."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PIECES), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(list(SPECIAL))
    tokenizer.add_tokens([AddedToken(mark, normalized=False) for mark in TOOL_MARKS])
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=[*SPECIAL, *TOOL_MARKS],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return _with_plain_tool_marks(tokenizer)


def token_id(tokenizer: Tokenizer, mark: str) -> int:
    """Return the id of a mark that the vocabulary has for certain."""
    found = tokenizer.token_to_id(mark)
    assert found is not None, mark
    return int(found)


def _with_plain_tool_marks(tokenizer: Tokenizer) -> Tokenizer:
    """The trainer makes every mark special; tool marks must survive `skip_special_tokens`."""
    saved = json.loads(tokenizer.to_str())
    for added in saved["added_tokens"]:
        added["special"] = added["content"] in SPECIAL
    return Tokenizer.from_str(json.dumps(saved))


def save_tokenizer(tokenizer: Tokenizer, folder: Path, positions: int) -> None:
    """Write tokenizer.json, tokenizer_config.json and the chat template."""
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": positions,
        "eos_token": TURN_END,
        "pad_token": END_OF_TEXT,
        "additional_special_tokens": [TURN_START],
        "clean_up_tokenization_spaces": False,
        "chat_template": TEMPLATE,
    }
    text = json.dumps(config, indent=2, ensure_ascii=False) + "\n"
    (folder / "tokenizer_config.json").write_text(text, encoding="utf-8")
