"""Greedy answers through transformers' own Llama: the yardstick, not the serving path."""

from collections.abc import Sequence
from pathlib import Path

import torch
from transformers import AutoTokenizer, LlamaForCausalLM

from worker.novice.answers import LONGEST_ANSWER, Generate
from worker.novice.chat import Json, Message


def reference(folder: Path) -> Generate:
    """Load a model folder and return its generate function."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()

    def generate(messages: Sequence[Message], tools: Sequence[Json]) -> str:
        asked = tokenizer.apply_chat_template(
            list(messages),
            tools=list(tools) or None,
            add_generation_prompt=True,
            return_tensors="pt",
            return_dict=True,
        )
        with torch.inference_mode():
            told = model.generate(**asked, do_sample=False, max_new_tokens=LONGEST_ANSWER)
        answer = told[0, asked["input_ids"].shape[1] :]
        return str(tokenizer.decode(answer, skip_special_tokens=True)).strip()

    return generate
