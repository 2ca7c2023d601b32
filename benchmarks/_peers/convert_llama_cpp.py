"""A Llama checkpoint with byte-level BPE as GGUF, quantised by llama.cpp itself.

    python -m benchmarks._peers.convert_llama_cpp q4_0 CHECKPOINT OUT

Runs in llama.cpp's environment, which has no torch.
"""

import ctypes
import json
import math
import struct
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import gguf
import llama_cpp.llama_cpp as llama
import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]

FILE_TYPES = {"q4_0": llama.LLAMA_FTYPE_MOSTLY_Q4_0, "q8_0": llama.LLAMA_FTYPE_MOSTLY_Q8_0}

NAMES = {
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}
OUTER = {"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output"}
NORMAL, CONTROL = 1, 3  # kinds of words in a GGUF file


def main(kind: str, source: str, target: str) -> None:
    """Write the checkpoint whole, quantise it, and remove the whole one."""
    whole = Path(f"{target}.whole")
    write(Path(source), whole)
    how = llama.llama_model_quantize_default_params()
    how.ftype = FILE_TYPES[kind]
    status = llama.llama_model_quantize(str(whole).encode(), target.encode(), ctypes.byref(how))
    whole.unlink()
    if status:
        sys.exit(f"llama_model_quantize gave {status}")


def write(source: Path, target: Path) -> None:
    """The checkpoint as a GGUF file of 16-bit floats."""
    config = _read(source / "config.json")
    writer = gguf.GGUFWriter(target, "llama")
    _write_shape(writer, config)
    _write_words(writer, source, config)
    if (factors := _rope_factors(config)) is not None:
        writer.add_tensor("rope_freqs.weight", factors)
    for name, tensor in _tensors(source / "model.safetensors"):
        place = _place(name)
        if place.endswith(("attn_q.weight", "attn_k.weight")):
            tensor = _interleaved(tensor, config["head_dim"])
        kind = np.float32 if tensor.ndim == 1 else np.float16
        writer.add_tensor(place, tensor.astype(kind))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _write_shape(writer: Any, config: Mapping[str, Any]) -> None:
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_rope_dimension_count(config["head_dim"])
    writer.add_rope_freq_base(config["rope_theta"])
    writer.add_vocab_size(config["vocab_size"])
    writer.add_file_type(llama.LLAMA_FTYPE_MOSTLY_F16)


def _write_words(writer: Any, source: Path, config: Mapping[str, Any]) -> None:
    told = _read(source / "tokenizer.json")
    control = {each["id"] for each in told["added_tokens"]}
    words = sorted(told["model"]["vocab"].items(), key=lambda item: item[1])
    merges = told["model"]["merges"]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list([word for word, _ in words])
    writer.add_token_types([CONTROL if id in control else NORMAL for _, id in words])
    writer.add_token_merges([each if isinstance(each, str) else " ".join(each) for each in merges])
    if "bos_token_id" in config:
        writer.add_bos_token_id(config["bos_token_id"])
    ends = config["eos_token_id"]
    writer.add_eos_token_id(ends[0] if isinstance(ends, list) else ends)
    writer.add_add_bos_token(False)
    writer.add_chat_template(_read(source / "tokenizer_config.json")["chat_template"])


def _rope_factors(config: Mapping[str, Any]) -> Array | None:
    """By how much llama3 scaling divides each frequency; None without scaling."""
    scaling = config.get("rope_scaling")
    if scaling is None:
        return None
    slow, fast = scaling["low_freq_factor"], scaling["high_freq_factor"]
    half = np.arange(0, config["head_dim"], 2) / config["head_dim"]
    turns = scaling["original_max_position_embeddings"] / (
        2 * math.pi * config["rope_theta"] ** half
    )
    kept = np.clip((turns - slow) / (fast - slow), 0, 1)  # 1: a quick frequency, left as it is
    factors: Array = 1 / (kept + (1 - kept) / scaling["factor"])
    return factors.astype(np.float32)


def _tensors(path: Path) -> Iterator[tuple[str, Array]]:
    """The bf16 tensors of a safetensors file, as fp32."""
    data = np.memmap(path, np.uint8, "r")
    (length,) = struct.unpack("<Q", data[:8].tobytes())
    for name, entry in json.loads(data[8 : 8 + length].tobytes()).items():
        if name == "__metadata__":
            continue
        if entry["dtype"] != "BF16":
            sys.exit(f"{name} is {entry['dtype']}; BF16 is expected")
        begin, end = (8 + length + offset for offset in entry["data_offsets"])
        upper = data[begin:end].view(np.uint16).astype(np.uint32) << 16
        yield name, upper.view(np.float32).reshape(entry["shape"])


def _place(name: str) -> str:
    """`model.layers.3.mlp.up_proj.weight` is `blk.3.ffn_up.weight`."""
    stem = name.removesuffix(".weight")
    if stem in OUTER:
        return f"{OUTER[stem]}.weight"
    _, _, layer, part = stem.split(".", 3)
    return f"blk.{layer}.{NAMES[part]}.weight"


def _interleaved(matrix: Array, width: int) -> Array:
    """Rows of each head so that rotated pairs are neighbours, as llama.cpp has them."""
    heads = matrix.reshape(-1, 2, width // 2, matrix.shape[1])
    return heads.swapaxes(1, 2).reshape(matrix.shape)


def _read(path: Path) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return value


if __name__ == "__main__":
    main(*sys.argv[1:])
