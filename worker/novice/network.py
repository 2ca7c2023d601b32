"""A Llama decoder for training only: fused projections, no cache; `export.py` writes its weights.

Serving never uses this module. It computes what Hugging Face's LlamaForCausalLM computes.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

EPSILON = 1e-6


@dataclass(frozen=True)
class Shape:
    """The sizes of the network; the defaults are those of the released model."""

    vocabulary: int = 1024
    hidden: int = 256
    layers: int = 5
    heads: int = 4
    kv_heads: int = 2
    head: int = 64
    intermediate: int = 704
    positions: int = 1024
    rope_theta: float = 10000.0

    @property
    def qkv(self) -> int:
        """Width of the fused query, key and value projection."""
        return (self.heads + 2 * self.kv_heads) * self.head


class Norm(nn.Module):
    """RMSNorm with its weight cast to the input's type, so that the fused kernel applies."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        """Normalise the last dimension."""
        return functional.rms_norm(x, self.weight.shape, self.weight.to(x.dtype), EPSILON)


class Block(nn.Module):
    """One decoder layer: attention, then the gated feed-forward, both with a residual."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.attention_norm = Norm(shape.hidden)
        self.qkv = nn.Linear(shape.hidden, shape.qkv, bias=False)
        self.o = nn.Linear(shape.heads * shape.head, shape.hidden, bias=False)
        self.feed_norm = Norm(shape.hidden)
        self.gate_up = nn.Linear(shape.hidden, 2 * shape.intermediate, bias=False)
        self.down = nn.Linear(shape.intermediate, shape.hidden, bias=False)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        """Map [batch, time, hidden] to the same shape."""
        x = x + self.o(self._attend(self.attention_norm(x), cos, sin))
        gate, up = self.gate_up(self.feed_norm(x)).chunk(2, -1)
        return x + torch.as_tensor(self.down(functional.silu(gate) * up))

    def _attend(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        shape, (batch, time, _) = self.shape, x.shape
        rotated = shape.heads + shape.kv_heads
        # [batch, time, heads, head]
        projected = self.qkv(x).view(batch, time, rotated + shape.kv_heads, shape.head)
        turned = _rotate(projected[:, :, :rotated], cos, sin).transpose(1, 2)
        query, key = turned[:, : shape.heads], turned[:, shape.heads :]
        value = projected[:, :, rotated:].transpose(1, 2)
        return _attention(query, key, value).transpose(1, 2).reshape(batch, time, -1)


class Network(nn.Module):
    """Embedding, blocks, final norm; the head is the embedding's own matrix."""

    cos: Tensor
    sin: Tensor

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.embed = nn.Embedding(shape.vocabulary, shape.hidden)
        self.blocks = nn.ModuleList(Block(shape) for _ in range(shape.layers))
        self.norm = Norm(shape.hidden)
        cos, sin = _rope_tables(shape)
        self.register_buffer("cos", cos, persistent=False)
        self.register_buffer("sin", sin, persistent=False)
        _initialise(self)

    def forward(self, tokens: Tensor, where: Tensor) -> Tensor:
        """Return logits [where, vocabulary] at the flat positions `where` of tokens."""
        time = tokens.shape[1]
        x = self.embed(tokens).to(self.cos.dtype)  # [batch, time, hidden]
        for block in self.blocks:
            x = block(x, self.cos[:time], self.sin[:time])
        wanted = x.flatten(0, 1)[where]
        return functional.linear(self.norm(wanted), self.embed.weight)


def _initialise(network: Network) -> None:
    """Let each token's own embedding fill the residual at first: blocks start as identities.

    Loud embeddings need a quiet final norm, for the head is the same matrix.
    """
    nn.init.normal_(network.embed.weight, std=0.5)
    nn.init.constant_(network.norm.weight, 0.02)
    for name, weight in network.named_parameters():
        if name.endswith(("o.weight", "down.weight")):
            nn.init.zeros_(weight)


def _rope_tables(shape: Shape) -> tuple[Tensor, Tensor]:
    powers = torch.arange(0, shape.head, 2) / shape.head
    angles = torch.outer(torch.arange(float(shape.positions)), shape.rope_theta**-powers)
    doubled = torch.cat((angles, angles), -1)[:, None]  # [positions, 1, head]
    return doubled.cos().bfloat16(), doubled.sin().bfloat16()


def _rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    first, second = x.chunk(2, -1)
    return x * cos + torch.cat((-second, first), -1) * sin


def _attention(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Causal attention in plain products: on short rows twice as fast as the fused CPU kernel."""
    batch, heads, time, head = query.shape
    shared = key.shape[1]
    grouped = query.reshape(batch, shared, -1, head) * head**-0.5
    scores = (grouped @ key.transpose(-1, -2)).view(batch, heads, time, time)
    future = torch.full((time, time), float("-inf"), dtype=scores.dtype).triu(1)
    weights = torch.softmax(scores + future, -1, dtype=value.dtype)
    return (weights.view(batch, shared, -1, time) @ value).view(batch, heads, time, head)
