"""What low-bit weights and an int8 cache cost in accuracy.

    python -m benchmarks.accuracy --cache ~/.cache/cloister-peers

novice reads fresh conversations: perplexity of the assistant's turns, how far the distributions are
from those of bf16 (KL divergence, in nats a token), and how often the likeliest token is the same.
Then random layers of the 1B shape, alone, with activations whose every 64th channel is 50 or 300
times as large: the relative error of their outputs, beside what llama.cpp's Q4_0 and Q8_0 make of
the same layers. llama.cpp itself computes them: it is compiled for `benchmarks.peers`, whose cache
it stands in. Last line JSON.
"""

import argparse
import json
import os
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from itertools import islice
from pathlib import Path
from random import Random

import torch
from rich.console import Console
from rich.table import Table
from tokenizers import Tokenizer
from torch import Tensor
from torch.nn import functional

from benchmarks._peers.catalogue import LLAMA_CPP
from benchmarks._peers.environment import prepare
from benchmarks._peers.ggml_layer import Ggml
from worker.engine.step import Segment, Step
from worker.execution.local import LocalExecution
from worker.kernels.lowbit import INT4, INT8, Format, quantise
from worker.kernels.native import Kernels, find_kernels
from worker.kernels.packed import Fused, pack
from worker.model.cache import CacheType
from worker.model.load import LowBit, load_model
from worker.model.source import find_model
from worker.novice.batches import Row, to_row
from worker.novice.chat import load_template, render
from worker.novice.corpus import conversations
from worker.novice.template import TEMPLATE

FORMS: Mapping[str, LowBit] = {"int8": INT8, "int4": INT4}
UNSEEN = 987_654  # a seed that training did not use
OUTLIER_EVERY = 64
PAGE_SIZE, PAGES = 16, 128

Figures = dict[str, float]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--conversations", type=int, default=200, help="that novice reads")
    parser.add_argument("--rows", type=int, default=64, help="of activations, for random layers")
    parser.add_argument("--cache", type=Path, required=True, help="folder of benchmarks.peers")
    options = parser.parse_args()
    kernels = find_kernels()
    folder = prepare(LLAMA_CPP, options.cache.expanduser().resolve(), os.cpu_count() or 1)
    ggml = Ggml(folder / "build" / "bin")
    told = {**novice(options.conversations, kernels), **layers(options.rows, kernels, ggml)}
    for title in dict.fromkeys(name.split(":")[0] for name in told):
        rows = {n: v for n, v in told.items() if n.startswith(title + ":")}
        table = Table(title, *next(iter(rows.values())))
        for name, figures in rows.items():
            table.add_row(name.partition(":")[2], *(f"{one:.4f}" for one in figures.values()))
        Console().print(table)
    print(json.dumps(told))


def novice(count: int, kernels: Kernels) -> dict[str, Figures]:
    """Perplexity, divergence and agreement on conversations that nobody has seen."""
    rows = list(texts(count))
    exact = list(logits("none", rows, kernels))
    told = {"novice:bf16": compare(rows, exact, exact)}
    for name, form in FORMS.items():
        told[f"novice:{name}"] = compare(rows, exact, list(logits(form, rows, kernels)))
    for name, other in {"bf16": "none", **FORMS}.items():
        found = list(logits(other, rows, kernels, "int8"))
        told[f"novice:{name}, KV int8"] = compare(rows, exact, found)
    return told


def texts(count: int) -> Iterator[Row]:
    """Conversations as tokens, with the places whose next token is the assistant's."""
    template = load_template(TEMPLATE)
    tokenizer = Tokenizer.from_file(str(find_model("novice") / "tokenizer.json"))
    for one in islice(conversations(Random(UNSEEN)), count):
        text = render(template, one.messages, one.tools, ask=False)
        row = to_row(text, tokenizer)
        if row.where and len(row.tokens) <= PAGE_SIZE * PAGES // 2:
            yield row


def logits(
    form: LowBit, rows: list[Row], kernels: Kernels, kept: CacheType = "auto"
) -> Iterator[Tensor]:
    """Logits [places, vocabulary] of each row."""
    folder, pages = find_model("novice"), tuple(range(PAGES))
    execution = LocalExecution(kernels)
    model = load_model(
        folder,
        execution=execution,
        kernels=kernels,
        low_bit=form,
        page_count=PAGES,
        kv_cache_dtype=kept,
    )
    for row in rows:
        step = Step((Segment(tuple(row.tokens), 0, pages, len(row.tokens)),))
        yield model.forward(step)[row.where]


def compare(rows: list[Row], exact: list[Tensor], found: list[Tensor]) -> Figures:
    targets = torch.tensor([row.tokens[place + 1] for row in rows for place in row.where])
    truth, mine = torch.cat(exact), torch.cat(found)
    wanted, given = truth.log_softmax(-1), mine.log_softmax(-1)
    return {
        "perplexity": float(functional.cross_entropy(mine, targets).exp()),
        "divergence": float((wanted.exp() * (wanted - given)).sum(-1).mean()),
        "same first": float((truth.argmax(-1) == mine.argmax(-1)).float().mean()),
    }


def layers(rows: int, kernels: Kernels, ggml: Ggml) -> dict[str, Figures]:
    """Relative errors of a layer's outputs, by how large its outlier channels are."""
    ways: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
        "int8": _ours(INT8, kernels),
        "Q8_0": partial(ggml.multiply, "Q8_0"),
        "int4": _ours(INT4, kernels),
        "Q4_0": partial(ggml.multiply, "Q4_0"),
    }
    told: dict[str, Figures] = {f"layer:{name}": {} for name in ways}
    for outliers in (1, 50, 300):
        torch.manual_seed(0)
        weight, x = torch.randn(2048, 2048) * 0.02, torch.randn(rows, 2048)
        x[:, ::OUTLIER_EVERY] *= outliers
        wanted = x.double() @ weight.double().T
        for name, way in ways.items():
            error = (way(x, weight).double() - wanted).norm() / wanted.norm()
            told[f"layer:{name}"][f"error x{outliers}"] = float(error)
    return told


def _ours(form: Format, kernels: Kernels) -> Callable[[Tensor, Tensor], Tensor]:
    return lambda x, weight: kernels.linear(Fused(pack(quantise(weight, form))))(x)


if __name__ == "__main__":
    main()
