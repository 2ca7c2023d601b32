"""One layer computed by llama.cpp itself, with its rounding of weights and activations."""

import ctypes
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

Kind = Literal["Q4_0", "Q8_0"]

FLOAT32 = 0
TYPES: dict[Kind, int] = {"Q4_0": 2, "Q8_0": 8}  # of ggml.h
BESIDE_BYTES = 64 * 2**20  # for the rounded activations and the graph


class InitParams(ctypes.Structure):
    """`ggml_init_params` of ggml.h."""

    _fields_ = (
        ("mem_size", ctypes.c_size_t),
        ("mem_buffer", ctypes.c_void_p),
        ("no_alloc", ctypes.c_bool),
    )


class Ggml:
    """The library in the folder that a build of llama.cpp leaves."""

    def __init__(self, folder: Path) -> None:
        self._base = ctypes.CDLL(str(folder / "libggml-base.so"), ctypes.RTLD_GLOBAL)
        self._cpu = ctypes.CDLL(str(folder / "libggml-cpu.so"))
        pointer, size, integer = ctypes.c_void_p, ctypes.c_int64, ctypes.c_int
        for name, types in {
            "init": (InitParams,),
            "new_tensor_2d": (pointer, integer, size, size),
            "get_data": (pointer,),
            "mul_mat": (pointer, pointer, pointer),
            "new_graph": (pointer,),
        }.items():
            function = getattr(self._base, f"ggml_{name}")
            function.argtypes, function.restype = types, pointer
        self._base.ggml_free.argtypes = (pointer,)
        self._base.ggml_build_forward_expand.argtypes = (pointer, pointer)
        self._base.ggml_quantize_chunk.argtypes = (integer, *[pointer] * 2, *[size] * 3, pointer)
        self._cpu.ggml_graph_compute_with_ctx.argtypes = (pointer, pointer, integer)
        self._cpu.ggml_cpu_init()

    def multiply(self, kind: Kind, x: Tensor, weight: Tensor) -> Tensor:
        """`x` [rows, in] times the rounded `weight` [out, in], float32 both."""
        base, (outputs, inputs) = self._base, weight.shape
        bytes_needed = weight.nbytes + 2 * x.nbytes + 4 * len(x) * outputs + BESIDE_BYTES
        context = base.ggml_init(InitParams(bytes_needed, None, False))
        matrix = base.ggml_new_tensor_2d(context, TYPES[kind], inputs, outputs)
        rows = base.ggml_new_tensor_2d(context, FLOAT32, inputs, len(x))
        base.ggml_quantize_chunk(
            *(TYPES[kind], weight.data_ptr(), base.ggml_get_data(matrix), 0, outputs, inputs, None)
        )
        ctypes.memmove(base.ggml_get_data(rows), x.data_ptr(), x.nbytes)
        product, graph = base.ggml_mul_mat(context, matrix, rows), base.ggml_new_graph(context)
        base.ggml_build_forward_expand(graph, product)
        assert self._cpu.ggml_graph_compute_with_ctx(context, graph, 1) == 0
        y = torch.empty(len(x), outputs)
        ctypes.memmove(y.data_ptr(), base.ggml_get_data(product), y.nbytes)
        base.ggml_free(context)
        return y
