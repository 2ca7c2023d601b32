"""The weights that all columns of a run share: a folder's, or a named shape's random ones."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from worker.execution.seam import Execution
from worker.kernels.native import find_kernels
from worker.model.config import ModelConfig
from worker.model.decoder import Decoder
from worker.model.load import build
from worker.model.parameters import ModelWeights, allocate, places
from worker.model.shapes import SHAPES, random_weights
from worker.model.source import find_model
from worker.model.weights import WeightType, read_weights

PAGE_SIZE = 16


@dataclass(frozen=True, slots=True)
class Source:
    """`model` is a folder, `novice`, or a shape's name. The same in every process."""

    model: str

    @property
    def config(self) -> ModelConfig:
        return SHAPES[self.model] if self.model in SHAPES else ModelConfig.read(self._folder)

    def weights(self, dtype: torch.dtype) -> ModelWeights:
        if self.model in SHAPES:
            return random_weights(self.config, dtype)
        kind: WeightType = "bfloat16" if dtype == torch.bfloat16 else "float32"
        return read_weights(self._folder, self.config, kind)

    def decoder(self, execution: Execution, dtype: torch.dtype, tokens: int) -> Decoder:
        """With room for so many tokens in the cache."""
        pages = -(-tokens // PAGE_SIZE)
        weights, kernels = self.weights(dtype), find_kernels()
        return build(self.config, weights, execution, kernels, PAGE_SIZE, pages, None, "auto")

    @property
    def _folder(self) -> Path:
        return find_model(self.model)


def modules(config: ModelConfig, weights: ModelWeights) -> Mapping[str, Tensor]:
    """Each tensor under the name that Hugging Face gives it; a tied head under its own too."""
    held = places(config, weights).items()
    named = {name: place for name, place in held if isinstance(place, Tensor)}  # none is low-bit
    return {"lm_head.weight": named["model.embed_tokens.weight"], **named}


def shapes(config: ModelConfig) -> Mapping[str, torch.Size]:
    """The shapes of `modules`; nothing is written to the memory they are taken from."""
    empty = allocate(config, torch.bfloat16)
    return {name: tensor.shape for name, tensor in modules(config, empty).items()}
