"""A decoder's weights as the sites want them, and where each Hugging Face tensor goes in them.

Fused matrices (q k v, gate up) are allocated whole; a checkpoint's tensors are row blocks of them,
so that reading a file straight into its places fuses without a copy. Low-bit ones are packed there.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise

import torch
from torch import Tensor

from worker.execution.seam import Weight
from worker.kernels.lowbit import Format
from worker.kernels.packed import Packed, PackedRows
from worker.model.config import ModelConfig


@dataclass(frozen=True, slots=True)
class LayerWeights:
    """One layer. `heads_norm` is [2, head_dim]: the norms of query heads and of key heads."""

    attention_norm: Tensor
    qkv: Weight
    heads_norm: Tensor | None
    o: Weight
    feed_norm: Tensor
    gate_up: Weight
    down: Weight


@dataclass(frozen=True, slots=True)
class ModelWeights:
    """All of a decoder. A tied head is the embedding's own tensor.

    The decoder takes the layers out one by one, so that an execution which repacks or spreads a
    matrix never holds the model twice.
    """

    embed: Weight
    layers: list[LayerWeights]
    norm: Tensor
    head: Weight

    @property
    def dtype(self) -> torch.dtype:
        return self.norm.dtype


Place = Tensor | PackedRows
"""Where a checkpoint's tensor goes: as it is, or in low bits."""


def allocate(config: ModelConfig, dtype: torch.dtype, form: Format | None = None) -> ModelWeights:
    """Weights of the right shapes with no values yet; matrices are of low-bit `form`, if given."""
    embed = _matrix(config.vocabulary_size, config.hidden, dtype, form)
    head = embed
    if not config.tied_head:
        head = _matrix(config.vocabulary_size, config.hidden, dtype, form)
    layers = [_allocate_layer(config, dtype, form) for _ in range(config.layers)]
    return ModelWeights(embed, layers, torch.empty(config.hidden, dtype=dtype), head)


def _matrix(
    rows: int, columns: int, dtype: torch.dtype, form: Format | None, *, gated: bool = False
) -> Weight:
    """A `gated` matrix is two, one below the other."""
    if form is None:
        return Weight(torch.empty(rows, columns, dtype=dtype))
    outputs = rows // 2 if gated else rows
    packed = Packed.empty(outputs, columns, form, dtype, gated=gated)
    return Weight(packed.panels, packed=packed)


def _allocate_layer(config: ModelConfig, dtype: torch.dtype, form: Format | None) -> LayerWeights:
    def linear(rows: int, columns: int, bias: bool, gated: bool = False) -> Weight:
        weight = _matrix(rows, columns, dtype, form, gated=gated)
        return replace(weight, bias=torch.empty(rows, dtype=dtype)) if bias else weight

    hidden, intermediate = config.hidden, config.intermediate
    sizes = config.qkv_sizes
    return LayerWeights(
        attention_norm=torch.empty(hidden, dtype=dtype),
        qkv=linear(sum(sizes), hidden, config.qkv_bias),
        heads_norm=torch.empty(2, config.head_dim, dtype=dtype) if config.heads_norm else None,
        o=linear(hidden, sizes[0], config.o_bias),
        feed_norm=torch.empty(hidden, dtype=dtype),
        gate_up=linear(2 * intermediate, hidden, config.mlp_bias, gated=True),
        down=linear(hidden, intermediate, config.mlp_bias),
    )


def places(config: ModelConfig, weights: ModelWeights) -> dict[str, Place]:
    """Map each tensor name of a checkpoint to the (contiguous) rows that it fills."""
    words = config.vocabulary_size
    named: dict[str, Place] = {"model.embed_tokens.weight": _rows(weights.embed, 0, words)}
    named["model.norm.weight"] = weights.norm
    if not config.tied_head:
        named["lm_head.weight"] = _rows(weights.head, 0, words)
    for index, layer in enumerate(weights.layers):
        prefix = f"model.layers.{index}."
        named.update((prefix + name, place) for name, place in _layer_places(config, layer))
    return named


def _layer_places(config: ModelConfig, layer: LayerWeights) -> Iterator[tuple[str, Place]]:
    yield "input_layernorm.weight", layer.attention_norm
    yield "post_attention_layernorm.weight", layer.feed_norm
    yield from _linear_places("self_attn", ("q", "k", "v"), config.qkv_sizes, layer.qkv)
    yield from _linear_places("self_attn", ("o",), (config.hidden,), layer.o)
    yield from _linear_places("mlp", ("gate", "up"), (config.intermediate,) * 2, layer.gate_up)
    yield from _linear_places("mlp", ("down",), (config.hidden,), layer.down)
    if layer.heads_norm is not None:
        yield "self_attn.q_norm.weight", layer.heads_norm[0]
        yield "self_attn.k_norm.weight", layer.heads_norm[1]


def _linear_places(
    module: str, names: tuple[str, ...], sizes: tuple[int, ...], weight: Weight
) -> Iterator[tuple[str, Place]]:
    for name, (start, end) in zip(names, pairwise(accumulate(sizes, initial=0)), strict=True):
        yield f"{module}.{name}_proj.weight", _rows(weight, start, end)
    if weight.bias is not None:
        for name, bias in zip(names, weight.bias.split_with_sizes(sizes), strict=True):
            yield f"{module}.{name}_proj.bias", bias


def _rows(weight: Weight, start: int, end: int) -> Place:
    return weight.matrix[start:end] if weight.packed is None else weight.packed.rows(start, end)
