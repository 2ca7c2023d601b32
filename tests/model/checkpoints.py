"""Tiny random checkpoints made with transformers, and ways to run ours beside them."""

from collections.abc import Sequence
from pathlib import Path

import torch
import transformers
from torch import Tensor

from worker.engine.step import Segment, Step
from worker.execution.local import LocalExecution
from worker.model.decoder import Decoder
from worker.model.load import load_model

VOCABULARY = 97
PAGE_SIZE = 4
PAGES = 128

transformers.utils.logging.disable_progress_bar()


def config_of(family: str, **changes: object) -> transformers.PreTrainedConfig:
    """A tiny config of "Llama", "Mistral", "Qwen2" or "Qwen3"; the defaults are grouped-query."""
    values: dict[str, object] = {
        "vocab_size": VOCABULARY,
        "hidden_size": 48,
        "intermediate_size": 80,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 256,
        **changes,
    }
    return getattr(transformers, f"{family}Config")(**values)


def save(
    config: transformers.PreTrainedConfig, folder: Path, shard_size: str = "1GB"
) -> transformers.PreTrainedModel:
    """Save a random model with no zero biases and no unit norms; answer it."""
    torch.manual_seed(0)
    model = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval()
    for parameter in model.parameters():
        parameter.data.add_(torch.randn_like(parameter), alpha=0.15)
    model.save_pretrained(folder, max_shard_size=shard_size)
    return model


def ours(folder: Path, **options: object) -> Decoder:
    """Our decoder on a folder, with small pages."""
    execution = LocalExecution(options.get("kernels"))
    settings = {"page_size": PAGE_SIZE, "page_count": PAGES, "execution": execution}
    return load_model(folder, **(settings | options))


def prompt(length: int, seed: int = 1) -> tuple[int, ...]:
    generator = torch.Generator().manual_seed(seed)
    return tuple(torch.randint(0, VOCABULARY, (length,), generator=generator).tolist())


def scattered(seed: int = 3) -> tuple[int, ...]:
    """All pages, in no order."""
    return tuple(torch.randperm(PAGES, generator=torch.Generator().manual_seed(seed)).tolist())


def whole(tokens: Sequence[int], pages: tuple[int, ...]) -> Step:
    """One sequence at once, with logits of every row."""
    return Step((Segment(tuple(tokens), 0, pages, len(tokens)),))


@torch.no_grad()
def reference_logits(model: transformers.PreTrainedModel, tokens: Sequence[int]) -> Tensor:
    return model(torch.tensor([list(tokens)]), use_cache=False).logits[0].float()


def reference_greedy(
    model: transformers.PreTrainedModel, tokens: Sequence[int], count: int
) -> list[int]:
    """Greedy tokens with no cache at all, so that nothing of it can be wrong."""
    text = list(tokens)
    for _ in range(count):
        text.append(int(reference_logits(model, text)[-1].argmax()))
    return text[len(tokens) :]


def greedy(decoder: Decoder, tokens: Sequence[int], count: int) -> list[int]:
    """Prefill, then one token a step, in scattered pages."""
    pages, chosen, start = scattered(), [], 0
    rest = tuple(tokens)
    while len(chosen) < count:
        logits = decoder.forward(Step((Segment(rest, start, pages, 1),)))
        start += len(rest)
        rest = (int(logits[-1].argmax()),)
        chosen.append(rest[0])
    return chosen


def difference(ours: Tensor, theirs: Tensor) -> float:
    """The larger of the relative errors by norm and by maximum."""
    gap = ours - theirs
    return max(float(gap.norm() / theirs.norm()), float(gap.abs().max() / theirs.abs().max()))
