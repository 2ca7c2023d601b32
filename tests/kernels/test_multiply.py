"""Every variant gives the twins' bits: over shapes, strides, types, extremes, threads and rows."""

import math
from fractions import Fraction
from threading import Thread

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from worker.kernels.library import Library
from worker.kernels.lowbit import BF16, INT4, INT8, Format, dequantise, quantise
from worker.kernels.native import Kernels, Native
from worker.kernels.packed import Fused, Packed, pack, pack_gated, unpack
from worker.kernels.twins import Twins, multiply_add, silu

LOW_BIT = [INT4, INT8, Format(4, 64), Format(8, 128)]
FORMS = [*LOW_BIT, BF16]
TYPES = [torch.float32, torch.bfloat16]

per_variant = settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])


def numbers(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def packed(outputs: int, inputs: int, form: Format = INT4, seed: int = 0) -> Packed:
    return pack(quantise(numbers(outputs, inputs, seed=seed), form))


def multiply(kernels: Kernels, matrix: Packed, x: Tensor, bias: Tensor | None = None) -> Tensor:
    return kernels.linear(Fused(matrix, bias))(x)


@per_variant
@given(
    rows=st.integers(0, 30),
    outputs=st.integers(1, 100),
    inputs=st.integers(1, 300),
    form=st.sampled_from(FORMS),
    dtype=st.sampled_from(TYPES),
    with_bias=st.booleans(),
    spread=st.sampled_from([1e-3, 1.0, 1e4]),
)
def test_multiplies_like_the_twin(
    native: Native,
    rows: int,
    outputs: int,
    inputs: int,
    form: Format,
    dtype: torch.dtype,
    with_bias: bool,
    spread: float,
) -> None:
    matrix, x = packed(outputs, inputs, form), (numbers(rows, inputs, seed=1) * spread).to(dtype)
    bias = numbers(outputs, seed=2).to(dtype) if with_bias else None
    assert torch.equal(multiply(native, matrix, x, bias), multiply(Twins(), matrix, x, bias))


@per_variant
@given(
    rows=st.integers(0, 13),
    outputs=st.integers(1, 70),
    inputs=st.integers(1, 150),
    form=st.sampled_from(FORMS),
    dtype=st.sampled_from(TYPES),
    with_norm=st.booleans(),
    with_bias=st.booleans(),
    gated=st.booleans(),
    spread=st.sampled_from([1e-3, 1.0, 300.0]),
)
def test_norm_and_gate_are_like_the_twin(
    native: Native,
    rows: int,
    outputs: int,
    inputs: int,
    form: Format,
    dtype: torch.dtype,
    with_norm: bool,
    with_bias: bool,
    gated: bool,
    spread: float,
) -> None:
    height = 2 * outputs if gated else outputs
    codes = quantise(numbers(height, inputs), form)
    fused = Fused(
        pack_gated(codes) if gated else pack(codes),
        numbers(height, seed=2).to(dtype) if with_bias else None,
        numbers(inputs, seed=3).to(dtype) if with_norm else None,
        1e-5,
    )
    x = (numbers(rows, inputs, seed=1) * spread).to(dtype)
    assert torch.equal(native.linear(fused)(x), Twins().linear(fused)(x))


def test_twin_is_what_pytorch_computes_of_unrounded_rows() -> None:
    codes, norm, bias = quantise(numbers(80, 96), INT8), numbers(96, seed=1), numbers(80, seed=2)
    x = numbers(5, 96, seed=3)
    normed = functional.rms_norm(x, (96,), norm, 1e-5)
    gate, up = functional.linear(normed, dequantise(codes), bias).chunk(2, 1)
    found = Twins().linear(Fused(pack_gated(codes), bias, norm, 1e-5))(x)
    wanted = functional.silu(gate) * up
    assert (found - wanted).norm() < 0.02 * wanted.norm()


def test_silu_is_pytorchs_from_end_to_end() -> None:
    x = torch.cat((torch.linspace(-100, 100, 4001), torch.tensor([0.0, -1e30, 1e30, 3e38])))
    torch.testing.assert_close(silu(x), functional.silu(x), rtol=1e-6, atol=1e-30)


def test_multiply_add_rounds_once() -> None:
    a, b, c = (numbers(2000, seed=seed) for seed in range(3))
    c *= torch.exp2(torch.arange(2000).remainder(60) - 30)
    for row in torch.stack((multiply_add(a, b, c), a, b, c), 1).tolist():
        found, x, y, z = map(Fraction, row)
        wanted, least, most = x * y + z, *(Fraction(each) for each in beside(float(found)))
        assert abs(found - wanted) <= min(wanted - least, most - wanted)


def beside(number: float) -> list[float]:
    """The next float32 below and above."""
    ends = torch.tensor([-math.inf, math.inf])
    return torch.nextafter(torch.tensor([number, number]), ends).tolist()


def test_packing_two_halves_loses_nothing() -> None:
    codes = quantise(numbers(82, 50), INT4)
    back = unpack(pack_gated(codes))
    assert torch.equal(back.values, codes.values)
    assert torch.equal(back.scales, codes.scales)


def test_rows_may_be_part_of_wider_ones(native: Native) -> None:
    wide, matrix = numbers(9, 200), packed(40, 64)
    x = wide[::2, 30:94]
    assert torch.equal(multiply(native, matrix, x), multiply(native, matrix, x.contiguous()))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("value", [0.0, 1e-38, 1e-31, 1e30, -3e38, 2.0**-126])
def test_extremes_equal_the_twin(native: Native, form: Format, value: float) -> None:
    matrix, x = packed(33, 96, form), numbers(3, 96)
    x[0, :] = value
    x[1, 5] = value
    found, wanted = multiply(native, matrix, x), multiply(Twins(), matrix, x)
    torch.testing.assert_close(found, wanted, rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize("code", [0, 255])
def test_largest_codes_and_values_do_not_overflow(native: Native, code: int) -> None:
    for form in LOW_BIT:
        matrix = packed(32, 512, form)
        matrix.panels[..., 64:] = code
        for sign in (1, -1):
            x = torch.full((7, 512), sign * 5.0)
            assert torch.equal(multiply(native, matrix, x), multiply(Twins(), matrix, x))


@pytest.mark.parametrize("form", [INT4, BF16])
@pytest.mark.parametrize("poison", [math.nan, math.inf, -math.inf])
def test_row_that_is_not_finite_spoils_itself_alone(
    native: Native, poison: float, form: Format
) -> None:
    matrix, x = packed(40, 96, form), numbers(8, 96)
    clean = multiply(native, matrix, x)
    x[3, 50] = poison
    spoilt = multiply(native, matrix, x)
    assert not spoilt[3].isfinite().any()
    assert torch.equal(spoilt[[0, 1, 2, 4, 5, 6, 7]], clean[[0, 1, 2, 4, 5, 6, 7]])


@pytest.mark.parametrize("form", [INT4, INT8, BF16])
def test_batch_equals_alone(native: Native, form: Format) -> None:
    matrix, x = packed(100, 160, form), numbers(29, 160).bfloat16()
    alone = torch.cat([multiply(native, matrix, row.unsqueeze(0)) for row in x])
    assert torch.equal(multiply(native, matrix, x), alone)


@pytest.mark.parametrize("spins", [0, 100])
def test_threads_change_nothing(library: Library, spins: int) -> None:
    one, matrix, x = Native(library), packed(1100, 256), numbers(50, 256)
    several = Native(library, threads=4, spins=spins)
    for rows in [*range(1, 50), 50]:
        wanted = multiply(one, matrix, x[:rows])
        assert torch.equal(multiply(several, matrix, x[:rows]), wanted)
    several.close()
    assert torch.equal(multiply(several, matrix, x), multiply(one, matrix, x))


def test_callers_at_once_do_not_mix(library: Library) -> None:
    kernels, matrix = Native(library, threads=3), packed(600, 256)
    wanted = [multiply(Twins(), matrix, numbers(20, 256, seed=seed)) for seed in range(3)]
    wrong: list[int] = []

    def call(seed: int) -> None:
        x = numbers(20, 256, seed=seed)
        for _ in range(50):
            if not torch.equal(multiply(kernels, matrix, x), wanted[seed]):
                wrong.append(seed)

    callers = [Thread(target=call, args=(seed,)) for seed in range(3)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    kernels.close()
    assert wrong == []


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("dtype", TYPES)
def test_looks_up_like_the_twin(native: Native, form: Format, dtype: torch.dtype) -> None:
    matrix = pack(quantise(numbers(70, 90).to(dtype), form))
    indices = torch.tensor([0, 69, 33, 33, 5])
    found = native.look_up(matrix, indices)
    assert found.dtype == dtype
    assert torch.equal(found, Twins().look_up(matrix, indices))


GOOD = packed(40, 64)


@pytest.mark.parametrize(
    ("x", "bias", "message"),
    [
        (numbers(3, 63), None, "rows must be"),
        (numbers(64), None, "rows must be"),
        (numbers(3, 64).double(), None, "rows must be"),
        (numbers(64, 3).T, None, "unbroken"),
        (numbers(3, 64), numbers(39), "bias must be"),
        (numbers(3, 64), numbers(40, 1), "bias must be"),
    ],
)
def test_bad_rows_are_refused(native: Native, x: Tensor, bias: Tensor | None, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        multiply(native, GOOD, x, bias)


@pytest.mark.parametrize(
    "panels", [GOOD.panels[:1], GOOD.panels.float(), GOOD.panels.transpose(0, 1)]
)
def test_bad_panels_are_refused(native: Native, panels: Tensor) -> None:
    bad = Packed(panels, 40, 64, INT4, torch.float32)
    with pytest.raises(ValueError, match="panels must be"):
        multiply(native, bad, numbers(1, 64))


@pytest.mark.parametrize("indices", [torch.tensor([40]), torch.tensor([-1])])
def test_look_up_beyond_the_matrix_is_refused(native: Native, indices: Tensor) -> None:
    with pytest.raises(IndexError):
        native.look_up(GOOD, indices)
