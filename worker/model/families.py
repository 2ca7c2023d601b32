"""The one table from a Hugging Face architecture to what makes it differ from plain Llama."""

from dataclasses import dataclass
from typing import Literal

from cloister.errors import BadModel
from worker.model.fields import Fields


@dataclass(frozen=True, slots=True)
class Family:
    """The traits that a config does not spell out; the defaults are Llama's.

    `bias`: which projections of attention have one: none, q k v only, or all four if the config's
    `attention_bias` says so. `window`: no sliding window, one in every layer, or one in the layers
    from `max_window_layers` on if the config's `use_sliding_window` says so.
    """

    architecture: str
    model_type: str
    bias: Literal["none", "qkv", "config"] = "none"
    mlp_bias: bool = False  # the config's `mlp_bias` is known
    heads_norm: bool = False  # RMSNorm over each query and key head before RoPE
    window: Literal["none", "all", "late"] = "none"
    head_dim: int | None = None  # where the config leaves it out; None: hidden / heads

    @property
    def body(self) -> str:
        """The architecture's name without a head, as embedding models are published."""
        return self.architecture.replace("ForCausalLM", "Model")


FAMILIES = (
    Family("LlamaForCausalLM", "llama", bias="config", mlp_bias=True),
    Family("MistralForCausalLM", "mistral", window="all"),
    Family("Qwen2ForCausalLM", "qwen2", bias="qkv", window="late"),
    Family(
        "Qwen3ForCausalLM", "qwen3", bias="config", heads_norm=True, window="late", head_dim=128
    ),
)


def family_of(fields: Fields) -> Family:
    """Find the family by `architectures`, or by `model_type` where there are none."""
    named = fields.get("architectures") or []
    model_type = fields.get("model_type")
    for family in FAMILIES:
        names = (family.architecture, family.body)
        if any(name in named for name in names) or (not named and family.model_type == model_type):
            return family
    known = ", ".join(family.architecture for family in FAMILIES)
    found = named[0] if named and isinstance(named, list) else model_type
    raise BadModel(f"{fields.path}: unknown architecture {found!r}; known are {known}")
