"""Everything the decoder must know of a model, derived from its Hugging Face config.json.

What a config asks for and we do not compute is refused by name: a silently ignored option would
give plausible, wrong text.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cloister.errors import BadModel
from worker.kernels.lowbit import INT4, INT8, Format
from worker.model.families import Family, family_of
from worker.model.fields import Fields
from worker.model.rope_config import RopeConfig, rope_config

NEUTRAL: dict[str, tuple[Any, ...]] = {
    "hidden_act": ("silu",),
    "attn_logit_softcapping": (),
    "final_logit_softcapping": (),
    "logit_scale": (1,),
    "logits_scaling": (1,),
    "embedding_multiplier": (1,),
    "residual_multiplier": (1,),
    "attention_multiplier": (),
    "query_pre_attn_scalar": (),
    "num_experts": (0,),
    "num_local_experts": (0, 1),
    "is_encoder_decoder": (False,),
    "add_cross_attention": (False,),
}
"""Options that change the arithmetic, and the values (besides null) under which they do not."""

QUANTIZATION = "quantization_config"
DEFAULT_WINDOW = 4096
DEFAULT_FIRST_WINDOW_LAYER = 28


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """The shape and the traits of one decoder. Valid once built."""

    family: str
    layers: int
    hidden: int
    heads: int
    kv_heads: int
    head_dim: int
    intermediate: int
    vocabulary_size: int
    context_length: int
    norm_epsilon: float
    rope: RopeConfig
    windows: tuple[int | None, ...]  # per layer: keys that a token sees, itself included
    tied_head: bool = False
    qkv_bias: bool = False
    o_bias: bool = False
    mlp_bias: bool = False
    heads_norm: bool = False
    eos_ids: tuple[int, ...] = ()
    low_bit: Format | None = None  # how matrices are stored, if not as floats

    @classmethod
    def read(cls, folder: Path) -> "ModelConfig":
        """Read config.json (and generation_config.json, if there) of a model folder."""
        if not (folder / "config.json").is_file():
            raise BadModel(f"{folder} has no config.json; it is not a Hugging Face model folder")
        fields = Fields.read(folder / "config.json")
        return _derive(fields, _eos_ids(folder, fields))

    @property
    def qkv_sizes(self) -> tuple[int, int, int]:
        """Widths of query, key and value."""
        kv = self.kv_heads * self.head_dim
        return (self.heads * self.head_dim, kv, kv)


def _derive(fields: Fields, eos_ids: tuple[int, ...]) -> ModelConfig:
    family = family_of(fields)
    _refuse_unsupported(fields, family)
    rope = rope_config(fields)
    layers, heads = fields.integer("num_hidden_layers"), fields.integer("num_attention_heads")
    attention_bias = family.bias == "config" and fields.flag("attention_bias")
    return ModelConfig(
        family=family.architecture,
        layers=layers,
        hidden=fields.integer("hidden_size"),
        heads=heads,
        kv_heads=_kv_heads(fields, family, heads),
        head_dim=_head_dim(fields, family, heads),
        intermediate=fields.integer("intermediate_size"),
        vocabulary_size=fields.integer("vocab_size"),
        context_length=_context_length(fields, rope),
        norm_epsilon=fields.number("rms_norm_eps", 1e-6),
        rope=rope,
        windows=_windows(fields, family, layers),
        tied_head=fields.flag("tie_word_embeddings"),
        qkv_bias=attention_bias or family.bias == "qkv",
        o_bias=attention_bias,
        mlp_bias=family.mlp_bias and fields.flag("mlp_bias"),
        heads_norm=family.heads_norm,
        eos_ids=eos_ids,
        low_bit=_low_bit(fields),
    )


def _refuse_unsupported(fields: Fields, family: Family) -> None:
    for name, neutral in NEUTRAL.items():
        if fields.get(name) is not None and fields.get(name) not in neutral:
            allowed = " or ".join(repr(value) for value in neutral) or "nothing"
            raise fields.bad(name, f"{allowed} (other values are not supported)")
    unknown = [("attention_bias", family.bias == "config"), ("mlp_bias", family.mlp_bias)]
    for name, known in unknown:
        if fields.get(name) and not known:
            raise fields.bad(name, f"false (for {family.architecture})")


def _low_bit(fields: Fields) -> Format | None:
    """The form of matrices that `cloister quantize` has written."""
    if fields.get(QUANTIZATION) is None:
        return None
    told = fields.within(QUANTIZATION)
    for form in (INT4, INT8):
        if dict(told.values) == as_config(form):
            return form
    raise fields.bad(QUANTIZATION, "what `cloister quantize` writes (others are not supported)")


def as_config(form: Format) -> dict[str, Any]:
    """What config.json says of matrices stored in this form."""
    return {"quant_method": "cloister", "bits": form.bits, "group_size": form.group}


def _kv_heads(fields: Fields, family: Family, heads: int) -> int:
    # Only the first Llama configs, which had no grouped queries, leave the field out.
    kv_heads = fields.integer(
        "num_key_value_heads", heads if family.model_type == "llama" else None
    )
    if heads % kv_heads:
        raise fields.bad("num_key_value_heads", f"a divisor of num_attention_heads, {heads},")
    return kv_heads


def _head_dim(fields: Fields, family: Family, heads: int) -> int:
    hidden = fields.integer("hidden_size")
    if fields.get("head_dim") is None and family.head_dim is None and hidden % heads:
        raise fields.bad("hidden_size", f"a multiple of num_attention_heads, {heads},")
    head_dim = fields.integer("head_dim", family.head_dim or hidden // heads)
    if head_dim % 2:
        raise BadModel(f"{fields.path}: head_dim is {head_dim}; RoPE needs an even one")
    return head_dim


def _context_length(fields: Fields, rope: RopeConfig) -> int:
    declared = fields.integer("max_position_embeddings")
    # The stretched Vicunas keep the trained length there and put the usable one beside it.
    stretched = fields.integer("max_sequence_length", 1) if rope.kind == "linear" else 1
    return max(declared, stretched, rope.stretched_context)


def _windows(fields: Fields, family: Family, layers: int) -> tuple[int | None, ...]:
    sliding = _slides(fields, family, layers)
    if not any(sliding):
        return (None,) * layers
    window = fields.integer("sliding_window", DEFAULT_WINDOW)
    return tuple(window if slides else None for slides in sliding)


def _slides(fields: Fields, family: Family, layers: int) -> list[bool]:
    """Which layers have a sliding window."""
    if family.window == "none":
        return _layer_types(fields, [False] * layers)
    if family.window == "all":  # an explicit null turns it off, absence means the default
        off = "sliding_window" in fields.values and fields.get("sliding_window") is None
        return _layer_types(fields, [not off] * layers)
    if not fields.flag("use_sliding_window"):
        return _layer_types(fields, [False] * layers)
    first = fields.integer("max_window_layers", DEFAULT_FIRST_WINDOW_LAYER, least=0)
    return _layer_types(fields, [layer >= first for layer in range(layers)], chosen=True)


def _layer_types(fields: Fields, implied: list[bool], chosen: bool = False) -> list[bool]:
    """`layer_types` where the config has them; only if `chosen` may they differ from `implied`."""
    types = fields.get("layer_types")
    if types is None:
        return implied
    known = {"full_attention": False, "sliding_attention": True}
    if not isinstance(types, list) or any(kind not in known for kind in types):
        raise fields.bad("layer_types", f"a list of {' and '.join(known)}")
    sliding = [known[kind] for kind in types]
    if len(sliding) != len(implied) or (sliding != implied and not chosen):
        expected = ["sliding_attention" if slides else "full_attention" for slides in implied]
        raise fields.bad("layer_types", repr(expected))
    return sliding


def _eos_ids(folder: Path, config: Fields) -> tuple[int, ...]:
    places = [config]
    if (folder / "generation_config.json").is_file():
        places.insert(0, Fields.read(folder / "generation_config.json"))
    for fields in places:
        value = fields.get("eos_token_id")
        if value is not None:
            return _ids(fields, value)
    return ()


def _ids(fields: Fields, value: Any) -> tuple[int, ...]:
    ids = value if isinstance(value, list) else [value]
    if not all(isinstance(each, int) and not isinstance(each, bool) for each in ids):
        raise fields.bad("eos_token_id", "an id or a list of ids")
    return tuple(ids)
