"""Integer products that are exact mod 2^32, on any device.

`x` is int32 and stands for residues mod 2^32, `w8` is int8. A number is cut into four centred
bytes, x = sum d_i 2^(8i) mod 2^32 with -128 <= d_i < 128, whose products no accumulator rounds or
overflows; the bytes' products are added up with int32's own wrapping. Which way is exact on a
machine is not believed but tried (`choose`).
"""

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from cloister.errors import BadSettings

Product = Callable[[Tensor], Tensor]
"""int32 x [rows, in] -> int32 [rows, out]: x @ w8.T mod 2^32."""

Kind = Callable[[Tensor], Product]
"""Makes the product of one int8 matrix [out, in], which lies on the device to compute on."""

BIAS = -0x7F7F7F80  # 0x80808080 as int32
SHIFTS = (0, 8, 16, 24)
EXACT_FLOAT32 = 1024  # columns: 128 * 127 * 1024 < 2^24
EXACT_FLOAT64 = 33026  # columns: 2^31 * 127 * 33026 < 2^53
EXACT_INT32 = 132104  # columns: 128 * 127 * 132104 < 2^31
CUDA_LEAST_ROWS = 17  # of torch._int_mm on CUDA, where widths must be multiples of 8 besides


def bytewise_int8(w8: Tensor) -> Product:
    """Four int8 products with int32 accumulators: tensor cores, or VNNI on a CPU."""
    outputs, inputs = w8.shape
    assert inputs <= EXACT_INT32
    padded = _padded(w8, -outputs % 8, -inputs % 8)
    least = CUDA_LEAST_ROWS if w8.is_cuda else 1

    def product(x: Tensor) -> Tensor:
        digits = _digits(x).flatten(0, 1)  # [4 * rows, in]
        digits = _padded(digits, max(0, least - len(digits)), -inputs % 8)
        sums = torch._int_mm(digits, padded.t())[: 4 * len(x), :outputs]
        return _join(sums.reshape(4, len(x), outputs))

    return product


def bytewise_float32(w8: Tensor) -> Product:
    """The same in float32, in slices of columns so short that no sum is rounded."""
    assert w8.shape[1] <= EXACT_INT32

    def product(x: Tensor) -> Tensor:
        digits = _digits(x).flatten(0, 1)
        sums = torch.zeros(len(digits), len(w8), dtype=torch.int32, device=x.device)
        for part, own in zip(
            torch.split(digits, EXACT_FLOAT32, 1), torch.split(w8, EXACT_FLOAT32, 1), strict=True
        ):
            sums += (part.float() @ own.float().t()).int()
        return _join(sums.view(4, len(x), len(w8)))

    return product


def whole_float64(w8: Tensor) -> Product:
    """One product in float64, in slices of columns where the matrix is too wide."""

    def product(x: Tensor) -> Tensor:
        parts = zip(
            torch.split(x, EXACT_FLOAT64, 1), torch.split(w8, EXACT_FLOAT64, 1), strict=True
        )
        sums = [(part.double() @ own.double().t()).long() for part, own in parts]
        return torch.stack(sums).sum(0).int()

    return product


KINDS: Mapping[str, Kind] = MappingProxyType(
    {"int8": bytewise_int8, "float32": bytewise_float32, "float64": whole_float64}
)
"""By falling speed on most devices."""


def choose(matrices: Iterable[Tensor], kinds: Mapping[str, Kind] = KINDS) -> str:
    """The name of the first kind that is exact on each of `matrices`, on the device they lie on.

    Raises:
        BadSettings: none is; the device computes wrongly, and nothing may be built on it.
    """
    samples = [(w8, *_sample(w8)) for w8 in matrices]
    for name, kind in kinds.items():
        if all(_is_exact(kind, *sample) for sample in samples):
            return name
    raise BadSettings(f"this device gets integer products wrong, by all of {', '.join(kinds)}")


def _sample(w8: Tensor) -> tuple[Tensor, Tensor]:
    """Rows that try the extremes besides random ones, and their products by 64-bit integers."""
    inputs = w8.shape[1]
    generator = torch.Generator().manual_seed(inputs)
    x = torch.randint(-(2**31), 2**31, (6, inputs), generator=generator).int()
    x[0], x[1], x[2] = 2**31 - 1, -(2**31), 0x7F7F7F7F
    wide = x.numpy().astype(np.int64) @ w8.cpu().numpy().T.astype(np.int64)  # below 2^63
    return x, torch.from_numpy(wide.astype(np.int32))


def _is_exact(kind: Kind, w8: Tensor, x: Tensor, expected: Tensor) -> bool:
    product, on_device = kind(w8), x.to(w8.device)
    few, many = product(on_device[:1]).cpu(), product(on_device.repeat(6, 1)).cpu()
    return torch.equal(few, expected[:1]) and torch.equal(many, expected.repeat(6, 1))


def _padded(matrix: Tensor, rows: int, columns: int) -> Tensor:
    """Zeros below and beside it; the matrix itself where none are needed."""
    return functional.pad(matrix, (0, columns, 0, rows)) if rows or columns else matrix


def _digits(x: Tensor) -> Tensor:
    """int8 [4, rows, in]: with b_i the bytes of x + 0x80808080, d_i = b_i - 128."""
    flipped = (x + BIAS) ^ BIAS
    return flipped.contiguous().view(torch.int8).view(*x.shape, 4).permute(2, 0, 1).contiguous()


def _join(sums: Tensor) -> Tensor:
    """sum_i sums[i] 2^(8i), wrapping."""
    total = sums[0].clone()
    for digit, shift in zip(sums[1:], SHIFTS[1:], strict=True):
        total += digit << shift
    return total
