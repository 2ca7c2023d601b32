"""THE decoder: every family, every execution. Where a linear runs is the execution's business."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from worker.engine.step import Step
from worker.execution.seam import Execution, Norm, Part, Site, SiteSpec
from worker.model.attention import attend
from worker.model.batch import Layout, Piece, lay_out
from worker.model.cache import Cache
from worker.model.config import ModelConfig
from worker.model.norm import rms_norm
from worker.model.parameters import LayerWeights, ModelWeights
from worker.model.rope import Rope, Rotation
from worker.model.turns import Flow, in_turn


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer's sites and what the TEE needs besides.

    `heads_norm` [heads + kv_heads, head_dim] scales normalised query and key heads before RoPE.
    """

    part: Part
    qkv: Site
    o: Site
    gate_up: Site
    down: Site
    heads: int
    kv_heads: int
    heads_norm: Tensor | None
    window: int | None


class Decoder:
    """A model ready to compute steps; satisfies the engine's `Model`. Empties `weights.layers`.

    One that `embeds` gives the normalised last hidden states in place of logits.
    """

    def __init__(
        self,
        config: ModelConfig,
        weights: ModelWeights,
        execution: Execution,
        *,
        page_size: int,
        page_count: int,
        embeds: bool = False,
    ) -> None:
        self.config = config
        self.vocabulary_size = config.vocabulary_size
        self.context_length = config.context_length
        self.page_size = page_size
        self.page_count = page_count
        self._execution = execution
        self._embed = _embed_site(config, weights, execution)
        self._layers = tuple(
            _layer(config, index, weights.layers.pop(0), execution)
            for index in range(config.layers)
        )
        self._head = (
            _last_norm(config, weights) if embeds else _head_site(config, weights, execution)
        )
        self._rope = Rope(config.rope, config.head_dim, weights.dtype)
        self._layout = Layout(
            page_size=page_size,
            group=self._layers[0].heads // self._layers[0].kv_heads,
            windows=frozenset(config.windows),
            dtype=weights.dtype,
        )
        self._cache = Cache(
            [layer.kv_heads for layer in self._layers],
            config.head_dim,
            page_count=page_count,
            page_size=page_size,
            dtype=weights.dtype,
        )

    @torch.inference_mode()
    def forward(self, step: Step) -> Tensor:
        """Write the step's keys and values, return float32 logits of the wanted rows, in order.

        The result is an inference tensor: clone it before changing it in place.
        """
        batch = lay_out(self._execution.share(step), self._layout)
        with self._execution.resident(EMBED):
            x = self._embed(batch.tokens)  # [rows, hidden]
        pace = self._execution.pace
        flows = (self._through(x[piece.rows], piece) for piece in batch.pieces(pace.rows))
        in_turn(flows, pace.at_once)
        with self._execution.resident(HEAD):
            return self._logits(x, batch.wanted)

    def _through(self, x: Tensor, piece: Piece) -> Flow:
        """Take `x` [rows, hidden] through all layers, in place."""
        rotation = self._rope.at(piece.positions)
        for index, layer in enumerate(self._layers):
            with self._execution.resident(layer.part):
                qkv = yield layer.qkv.submit(x)
                x += yield layer.o.submit(self._attention(layer, index, qkv, piece, rotation))
                x += yield layer.down.submit((yield layer.gate_up.submit(x)))

    def _attention(
        self, layer: Layer, index: int, qkv: Tensor, piece: Piece, rotation: Rotation
    ) -> Tensor:
        """Keep keys and values, answer what each row attends to. Overwrites `qkv`."""
        heads = qkv.view(len(qkv), -1, self.config.head_dim)  # query, key, value heads
        self._rotate_(layer, heads[:, : layer.heads + layer.kv_heads], rotation)
        query, known = heads[:, : layer.heads], heads[:, layer.heads :]
        self._cache.write(index, piece.slots, known.view(len(qkv), 2, layer.kv_heads, -1))
        return attend(query, self._cache, index, piece.spans[layer.window])

    def _rotate_(self, layer: Layer, heads: Tensor, rotation: Rotation) -> None:
        if layer.heads_norm is not None:
            heads.copy_(rms_norm(heads, layer.heads_norm, self.config.norm_epsilon))
        rotation.apply_(heads)

    def _logits(self, x: Tensor, wanted: Tensor) -> Tensor:
        if not len(wanted):
            return torch.empty(0, self.vocabulary_size)
        return self._head(x.index_select(0, wanted)).float()


EMBED, HEAD = Part("embed"), Part("head")


def _embed_site(config: ModelConfig, weights: ModelWeights, execution: Execution) -> Site:
    return execution.site(SiteSpec(EMBED, "embed", (config.hidden,), "none"), weights.embed)


def _last_norm(config: ModelConfig, weights: ModelWeights) -> Callable[[Tensor], Tensor]:
    return lambda x: rms_norm(x, weights.norm, config.norm_epsilon)


def _head_site(config: ModelConfig, weights: ModelWeights, execution: Execution) -> Site:
    norm = Norm(weights.norm, config.norm_epsilon)
    spec = SiteSpec(HEAD, "head", (config.vocabulary_size,), "output", norm)
    return execution.site(spec, weights.head)


def _layer(config: ModelConfig, index: int, weights: LayerWeights, execution: Execution) -> Layer:
    part = Part("layer", index)
    hidden, intermediate = (config.hidden,), (config.intermediate,) * 2
    before, between = (
        Norm(weight, config.norm_epsilon) for weight in (weights.attention_norm, weights.feed_norm)
    )
    qkv = execution.site(SiteSpec(part, "qkv", config.qkv_sizes, "output", before), weights.qkv)
    o = execution.site(SiteSpec(part, "o", hidden, "input"), weights.o)
    fused = SiteSpec(part, "gate_up", intermediate, "output", between, silu_multiply=True)
    gate_up = execution.site(fused, weights.gate_up)
    down = execution.site(SiteSpec(part, "down", hidden, "input"), weights.down)
    heads, kv_heads, _ = (size // config.head_dim for size in qkv.sizes)
    norm = _per_head(weights.heads_norm, heads, kv_heads)
    return Layer(part, qkv, o, gate_up, down, heads, kv_heads, norm, config.windows[index])


def _per_head(norms: Tensor | None, heads: int, kv_heads: int) -> Tensor | None:
    if norms is None:
        return None
    return norms.repeat_interleave(torch.tensor([heads, kv_heads]), 0)
