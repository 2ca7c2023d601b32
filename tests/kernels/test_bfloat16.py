"""Products of bfloat16: exact but for the order of their sums, which every variant keeps."""

import pytest
import torch
from torch import Tensor

from worker.kernels.lowbit import BF16, quantise
from worker.kernels.native import Kernels, Native
from worker.kernels.packed import Fused, Packed, pack
from worker.kernels.twins import Twins


def numbers(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def packed(matrix: Tensor) -> Packed:
    return pack(quantise(matrix, BF16))


def multiply(kernels: Kernels, matrix: Packed, x: Tensor) -> Tensor:
    return kernels.linear(Fused(matrix))(x)


@pytest.mark.parametrize("spread", [2.0**-66, 2.0**-63, 2.0**62, 2.0**64])
def test_bfloat16_at_the_ends_of_the_range_equals_the_twin(native: Native, spread: float) -> None:
    """Products and sums that are denormal, or too large."""
    matrix, x = packed(numbers(70, 33) * spread), numbers(5, 33, seed=1) * spread
    found, wanted = multiply(native, matrix, x), multiply(Twins(), matrix, x)
    torch.testing.assert_close(found, wanted, rtol=0, atol=0, equal_nan=True)


def test_bfloat16_is_multiplied_exactly_and_summed_in_float32(native: Native) -> None:
    plain, x = numbers(40, 300).bfloat16(), numbers(9, 300, seed=1).bfloat16()
    found = multiply(native, packed(plain), x.float())
    wanted = x.double() @ plain.double().T
    torch.testing.assert_close(found.double(), wanted, rtol=1e-5, atol=1e-5)


def test_every_number_of_rows_gives_a_row_the_same_bits(native: Native) -> None:
    matrix, x = packed(numbers(40, 50)), numbers(40, 50)
    whole = multiply(native, matrix, x)
    for rows in range(1, 40):
        assert torch.equal(multiply(native, matrix, x[:rows]), whole[:rows])
