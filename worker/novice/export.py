"""Write a trained network as ordinary Hugging Face files, in bf16, and read its weights back."""

import json
from pathlib import Path

import torch
from safetensors.torch import load_file, save
from tokenizers import Tokenizer
from torch import Tensor

from worker.novice.network import EPSILON, Network, Shape
from worker.novice.tokenizer import END_OF_TEXT, TURN_END, save_tokenizer, token_id


def save_model(network: Network, tokenizer: Tokenizer, folder: Path) -> None:
    """Save weights, configs, tokenizer and chat template so that any Llama loader reads them."""
    folder.mkdir(parents=True, exist_ok=True)
    weights = {name: tensor.bfloat16().contiguous() for name, tensor in _weights(network).items()}
    (folder / "model.safetensors").write_bytes(save(weights, metadata={"format": "pt"}))
    ends = [token_id(tokenizer, TURN_END), token_id(tokenizer, END_OF_TEXT)]
    _write(folder / "config.json", _config(network.shape, ends))
    _write(folder / "generation_config.json", {"eos_token_id": ends, "pad_token_id": ends[1]})
    save_tokenizer(tokenizer, folder, network.shape.positions)


def load_weights(network: Network, folder: Path) -> None:
    """Fill a network of the same shape with what `save_model` wrote, rounded to bf16 as it is."""
    saved = load_file(folder / "model.safetensors")
    for name, place in _weights(network).items():
        place.copy_(saved[name])


def _weights(network: Network) -> dict[str, Tensor]:
    weights = {
        "model.embed_tokens.weight": network.embed.weight.detach(),
        "model.norm.weight": network.norm.weight.detach(),
    }
    for index in range(network.shape.layers):
        layer = _layer(network, index)
        weights |= {f"model.layers.{index}.{name}.weight": each for name, each in layer.items()}
    return weights


def _layer(network: Network, index: int) -> dict[str, Tensor]:
    shape = network.shape
    block = {name: each.detach() for name, each in network.blocks[index].named_parameters()}
    sizes = [shape.heads * shape.head, shape.kv_heads * shape.head, shape.kv_heads * shape.head]
    query, key, value = torch.split(block["qkv.weight"], sizes)
    gate, up = torch.chunk(block["gate_up.weight"], 2)
    return {
        "self_attn.q_proj": query,
        "self_attn.k_proj": key,
        "self_attn.v_proj": value,
        "self_attn.o_proj": block["o.weight"],
        "mlp.gate_proj": gate,
        "mlp.up_proj": up,
        "mlp.down_proj": block["down.weight"],
        "input_layernorm": block["attention_norm.weight"],
        "post_attention_layernorm": block["feed_norm.weight"],
    }


def _config(shape: Shape, ends: list[int]) -> dict[str, object]:
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": shape.vocabulary,
        "hidden_size": shape.hidden,
        "intermediate_size": shape.intermediate,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.kv_heads,
        "head_dim": shape.head,
        "hidden_act": "silu",
        "max_position_embeddings": shape.positions,
        "rope_theta": shape.rope_theta,
        "rms_norm_eps": EPSILON,
        "attention_bias": False,
        "mlp_bias": False,
        "tie_word_embeddings": True,
        "eos_token_id": ends,
        "pad_token_id": ends[1],
        "torch_dtype": "bfloat16",
    }


def _write(path: Path, value: object) -> None:
    path.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")
