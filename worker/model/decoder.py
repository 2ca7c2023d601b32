"""THE decoder: every family, every execution. Where a linear runs is the execution's business."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from worker.engine.step import Step
from worker.execution.seam import Execution, Norm, Part, Site, SiteSpec
from worker.kernels.attention import Attention, Heads, Places
from worker.kernels.native import Kernels
from worker.model.batch import Piece, lay_out
from worker.model.cache import Cache
from worker.model.config import ModelConfig
from worker.model.norm import rms_norm
from worker.model.parameters import LayerWeights, ModelWeights
from worker.model.rope import Rope
from worker.model.turns import Flow, in_turn


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer's sites, and its attention over its pages."""

    part: Part
    qkv: Site
    attention: Attention
    o: Site
    gate_up: Site
    down: Site


class Decoder:
    """A model ready to compute steps; satisfies the engine's `Model`. Empties `weights.layers`.

    One that `embeds` gives the normalised last hidden states in place of logits.
    """

    def __init__(
        self,
        config: ModelConfig,
        weights: ModelWeights,
        execution: Execution,
        kernels: Kernels,
        *,
        page_size: int,
        page_count: int,
        cache_dtype: torch.dtype,
        embeds: bool = False,
    ) -> None:
        self.config = config
        self.vocabulary_size = config.vocabulary_size
        self.context_length = config.context_length
        self.page_size = page_size
        self.page_count = page_count
        self._execution = execution
        self._embed = _embed_site(config, weights, execution)
        self._rope = Rope(config.rope, config.head_dim)
        self._cache = Cache(
            page_count=page_count,
            page_size=page_size,
            head_dim=config.head_dim,
            dtype=cache_dtype,
        )
        self._layers = tuple(
            _layer(
                *(config, index, weights.layers.pop(0), execution),
                lambda heads: kernels.attention(heads, self._cache.add(heads.key)),
            )
            for index in range(config.layers)
        )
        self._head = (
            _last_norm(config, weights) if embeds else _head_site(config, weights, execution)
        )

    @torch.inference_mode()
    def forward(self, step: Step) -> Tensor:
        """Write the step's keys and values, return float32 logits of the wanted rows, in order.

        The result is an inference tensor: clone it before changing it in place.
        """
        batch = lay_out(self._execution.share(step))
        with self._execution.resident(EMBED):
            x = self._embed(batch.tokens)  # [rows, hidden]
        pace = self._execution.pace
        flows = (self._through(x[piece.rows], piece) for piece in batch.pieces(pace.rows))
        in_turn(flows, pace.at_once)
        with self._execution.resident(HEAD):
            return self._logits(x, batch.wanted)

    def _through(self, x: Tensor, piece: Piece) -> Flow:
        """Take `x` [rows, hidden] through all layers, in place."""
        places = Places(piece.runs, self._rope.at(piece.positions), self.page_size)
        for layer in self._layers:
            with self._execution.resident(layer.part):
                qkv = yield layer.qkv.submit(x)
                x += yield layer.o.submit(layer.attention(qkv, places))
                x += yield layer.down.submit((yield layer.gate_up.submit(x)))

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


def _layer(
    config: ModelConfig,
    index: int,
    weights: LayerWeights,
    execution: Execution,
    attention: Callable[[Heads], Attention],
) -> Layer:
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
    query, key, _ = (size // config.head_dim for size in qkv.sizes)  # what this place has of them
    norms = None if weights.heads_norm is None else weights.heads_norm.float()
    window = config.windows[index]
    heads = Heads(query, key, config.head_dim, norms, config.norm_epsilon, window)
    return Layer(part, qkv, attention(heads), o, gate_up, down)
