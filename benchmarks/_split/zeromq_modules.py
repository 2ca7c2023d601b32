"""Baseline B: ZeroMQ REQ/REP with msgpack; Init, Embedding, Linear, Matmul and LMHead, in float32.

As published designs have it: both products of attention go to the GPU too, with keys and values
repeated for every head, so a layer has nine calls; there is no KV cache, so each token reads the
whole text again; and there is no causal mask, so what it computes is not the model. `causal` adds
the mask, at the same calls and bytes. Everything goes in clear, even the norms' weights come back.
"""

import time
from collections.abc import Callable, Sequence
from typing import Any

import msgpack
import numpy as np
import torch
import zmq
from torch import Tensor
from torch.nn import functional

from benchmarks._split.ledger import Watch
from benchmarks._split.modules import Modules
from cloister.errors import BadModel
from worker.kernels.attention import Rotation
from worker.model.config import ModelConfig
from worker.model.norm import rms_norm
from worker.model.rope import Rope

REPLY_S = 600  # a server that died would be waited for without end otherwise


def serve(modules: Modules, ready: Callable[[str], None]) -> None:
    """Answer one request after the other on a free port of loopback, until the process ends."""
    socket = zmq.Context().socket(zmq.REP)
    ready(f"tcp://127.0.0.1:{socket.bind_to_random_port('tcp://127.0.0.1')}")
    with torch.inference_mode():
        while True:
            socket.send(msgpack.packb(_answer(modules, msgpack.unpackb(socket.recv()))))


def _answer(modules: Modules, request: dict[str, Any]) -> dict[str, Any]:
    if request["op"] == "Init":
        return {name: pack(norm) for name, norm in modules.norms().items()}
    if request["op"] == "Matmul":
        return pack(modules.multiply(unpack(request["a"]), unpack(request["b"])))
    return pack(modules.forward(request["module"], unpack(request["x"])))


def pack(x: Tensor) -> dict[str, Any]:
    array = x.contiguous().numpy()
    return {"data": array.tobytes(), "shape": array.shape, "dtype": array.dtype.name}


def unpack(packed: dict[str, Any]) -> Tensor:
    array = np.frombuffer(bytearray(packed["data"]), np.dtype(packed["dtype"]))
    return torch.from_numpy(array).view(*packed["shape"])


class Client:
    """The TEE's side of the calls."""

    def __init__(self, url: str, watch: Watch) -> None:
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.REQ)
        self._socket.setsockopt(zmq.RCVTIMEO, REPLY_S * 1000)
        self._socket.setsockopt(zmq.LINGER, 0)
        self._socket.connect(url)
        self._watch = watch

    def norms(self) -> dict[str, Tensor]:
        self._socket.send(msgpack.packb({"op": "Init"}))
        packed = msgpack.unpackb(self._socket.recv())
        return {name: unpack(norm) for name, norm in packed.items()}

    def embedding(self, ids: Tensor) -> Tensor:
        return self._call({"op": "Embedding", "module": "model.embed_tokens"}, x=ids)

    def linear(self, module: str, x: Tensor) -> Tensor:
        return self._call({"op": "Linear", "module": module}, x=x)

    def head(self, x: Tensor) -> Tensor:
        return self._call({"op": "LMHead", "module": "lm_head"}, x=x)

    def multiply(self, a: Tensor, b: Tensor) -> Tensor:
        return self._call({"op": "Matmul"}, a=a, b=b)

    def close(self) -> None:
        self._socket.close()
        self._context.term()

    def _call(self, request: dict[str, Any], **tensors: Tensor) -> Tensor:
        began = time.perf_counter()
        with self._watch.phase("send"):
            packed = {name: pack(tensor) for name, tensor in tensors.items()}
            self._socket.send(msgpack.packb(request | packed))
        with self._watch.phase("wait"):
            reply = msgpack.unpackb(self._socket.recv())
            y = unpack(reply)
        up_bytes = sum(len(tensor["data"]) for tensor in packed.values())
        self._watch.call(up_bytes, len(reply["data"]), time.perf_counter() - began)
        return y


class Uncached:
    """The forward pass around the calls, over whole texts of one length."""

    def __init__(self, config: ModelConfig, client: Client, watch: Watch, *, causal: bool) -> None:
        if config.heads_norm or any(window is not None for window in config.windows):
            raise BadModel("baseline B knows neither norms of heads nor sliding windows")
        self._config = config
        self._client = client
        self._watch = watch
        self._causal = causal
        self._rope = Rope(config.rope, config.head_dim)
        self._norms = client.norms()

    @torch.inference_mode()
    def logits(self, texts: Sequence[Sequence[int]]) -> Tensor:
        """float32 [texts, vocabulary]: what comes behind each."""
        ids = torch.tensor(texts)  # [texts, length]
        rotation = self._rope.at(torch.arange(ids.shape[1]).repeat(len(ids)))
        x = self._client.embedding(ids)  # [texts, length, hidden]
        for index in range(self._config.layers):
            x = self._layer(f"model.layers.{index}.", x, rotation)
        return self._client.head(self._norm("model.norm", x)[:, -1])

    def _layer(self, prefix: str, x: Tensor, rotation: Rotation) -> Tensor:
        known = self._norm(f"{prefix}input_layernorm", x)
        q, k, v = (
            self._client.linear(f"{prefix}self_attn.{name}_proj", known) for name in ("q", "k", "v")
        )
        x = x + self._client.linear(f"{prefix}self_attn.o_proj", self._attend(q, k, v, rotation))
        known = self._norm(f"{prefix}post_attention_layernorm", x)
        gate, up = (
            self._client.linear(f"{prefix}mlp.{name}_proj", known) for name in ("gate", "up")
        )
        return x + self._client.linear(f"{prefix}mlp.down_proj", functional.silu(gate).mul_(up))

    def _attend(self, q: Tensor, k: Tensor, v: Tensor, rotation: Rotation) -> Tensor:
        query, key, value = (self._heads(each) for each in (q, k, v))
        for each in (query, key):
            rotation.apply_(each.flatten(0, 1))
        query, key, value = (each.transpose(1, 2) for each in (query, key, value))
        group = self._config.heads // self._config.kv_heads
        key, value = (each.repeat_interleave(group, 1) for each in (key, value))
        scores = self._client.multiply(query, key.transpose(2, 3))  # [texts, heads, length, length]
        with self._watch.phase("attention"):
            scores *= self._config.head_dim**-0.5
            if self._causal:
                scores.masked_fill_(torch.ones_like(scores[0, 0]).triu_(1).bool(), float("-inf"))
            weights = scores.softmax(-1)
        return self._client.multiply(weights, value).transpose(1, 2).flatten(2)

    def _heads(self, x: Tensor) -> Tensor:
        return x.view(*x.shape[:-1], -1, self._config.head_dim)

    def _norm(self, name: str, x: Tensor) -> Tensor:
        return rms_norm(x, self._norms[f"{name}.weight"], self._config.norm_epsilon)
