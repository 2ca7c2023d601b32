"""Baseline A: a unary gRPC call for each linear and for the embedding, in float32.

As published designs have it: name, bytes, shape and type in a protobuf message, tensors copied with
`tobytes`, logits of every row, messages of up to 512 MB; q, k and v each send the same rows.
Attention, norms, activations and the KV cache are the TEE's. Everything goes in clear.
"""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import grpc
import numpy as np
import torch
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from torch import Tensor
from torch.nn import functional

from benchmarks._split.ledger import Watch
from benchmarks._split.modules import Modules
from worker.engine.step import Step
from worker.execution.local import WHOLE, Done
from worker.execution.seam import Part, Pending, Site, SiteSpec, Weight
from worker.model.norm import rms_norm

THREADS = 8
OPTIONS = [
    ("grpc.max_send_message_length", 512 * 2**20),
    ("grpc.max_receive_message_length", 512 * 2**20),
]
METHOD = "Modules", "Forward"
PARTS = {
    "qkv": ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    "o": ("self_attn.o_proj",),
    "gate_up": ("mlp.gate_proj", "mlp.up_proj"),
    "down": ("mlp.down_proj",),
}


def _message() -> Any:
    """Tensor { string module = 1; bytes data = 2; repeated int64 shape = 3; string dtype = 4; }"""
    kinds = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="modules.proto", syntax="proto3")
    message = file.message_type.add(name="Tensor")
    fields = (
        ("module", kinds.TYPE_STRING, kinds.LABEL_OPTIONAL),
        ("data", kinds.TYPE_BYTES, kinds.LABEL_OPTIONAL),
        ("shape", kinds.TYPE_INT64, kinds.LABEL_REPEATED),
        ("dtype", kinds.TYPE_STRING, kinds.LABEL_OPTIONAL),
    )
    for number, (name, kind, label) in enumerate(fields, 1):
        message.field.add(name=name, number=number, type=kind, label=label)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("Tensor"))


MESSAGE = _message()


def pack(module: str, x: Tensor) -> Any:
    array = x.numpy()
    return MESSAGE(module=module, data=array.tobytes(), shape=array.shape, dtype=array.dtype.name)


def unpack(message: Any) -> Tensor:
    array = np.frombuffer(bytearray(message.data), np.dtype(message.dtype))
    return torch.from_numpy(array).view(*message.shape)


@contextmanager
def serving(modules: Modules) -> Iterator[str]:
    """A server on a free port of loopback."""

    @torch.inference_mode()
    def forward(request: Any, context: Any) -> Any:
        del context
        return pack("", modules.forward(request.module, unpack(request)))

    handler = grpc.unary_unary_rpc_method_handler(
        forward, MESSAGE.FromString, MESSAGE.SerializeToString
    )
    server = grpc.server(ThreadPoolExecutor(THREADS), options=OPTIONS)
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler(METHOD[0], {METHOD[1]: handler}),)
    )
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        server.stop(None)


class PerModule:
    """An execution that calls the server for each module, one after the other."""

    pace = WHOLE
    bfloats = None

    def __init__(self, url: str, watch: Watch) -> None:
        self._channel = grpc.insecure_channel(url, options=OPTIONS)
        self._forward = self._channel.unary_unary(
            "/".join(("", *METHOD)), MESSAGE.SerializeToString, MESSAGE.FromString
        )
        self._watch = watch

    def site(self, spec: SiteSpec, weight: Weight) -> Site:
        prefix = f"model.layers.{spec.part.layer}."
        whole = {"embed": "model.embed_tokens", "head": "lm_head"}
        if spec.name in whole:
            return Calls(spec, (whole[spec.name],), weight.matrix.dtype, self._call)
        names = tuple(prefix + name for name in PARTS[spec.name])
        return Calls(spec, names, weight.matrix.dtype, self._call)

    def resident(self, part: Part) -> AbstractContextManager[None]:
        del part
        return nullcontext()

    def share(self, step: Step | None) -> Step:
        assert step is not None
        return step

    def close(self) -> None:
        self._channel.close()

    def _call(self, module: str, x: Tensor) -> Tensor:
        began = time.perf_counter()
        with self._watch.phase("send"):
            request = pack(module, x)
        with self._watch.phase("wait"):
            reply = self._forward(request)
            y = unpack(reply)
        self._watch.call(len(request.data), len(reply.data), time.perf_counter() - began)
        return y


class Calls:
    """A site of several modules that read the same rows."""

    def __init__(
        self,
        spec: SiteSpec,
        modules: tuple[str, ...],
        dtype: torch.dtype,
        call: Callable[[str, Tensor], Tensor],
    ) -> None:
        self.sizes = spec.sizes
        self._spec = spec
        self._modules = modules
        self._dtype = dtype
        self._call = call

    def __call__(self, x: Tensor) -> Tensor:
        if self._spec.norm is not None:
            x = rms_norm(x, self._spec.norm.weight, self._spec.norm.epsilon)
        sent = x if self._spec.name == "embed" else x.float().contiguous()
        parts = [self._call(module, sent).to(self._dtype) for module in self._modules]
        if self._spec.silu_multiply:
            return functional.silu(parts[0]).mul_(parts[1])
        return torch.cat(parts, -1)

    def submit(self, x: Tensor) -> Pending:
        return Done(self(x))
