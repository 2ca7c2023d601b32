"""Every variant of masking gives the twins' bits: over shapes, types, extremes, strides."""

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from worker.kernels.library import Library
from worker.kernels.masking import NativeMasking
from worker.kernels.masking_twins import MaskingTwins, Words
from worker.kernels.native import Native

TWINS = MaskingTwins()
TYPES = st.sampled_from([torch.float32, torch.bfloat16])

per_variant = settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(params=["avx512", "avx2", "portable"])
def masking(request: pytest.FixtureRequest, library: Library) -> Iterator[NativeMasking]:
    """Each variant that runs on this machine, with a thread that helps."""
    if request.param not in library.variants():
        pytest.skip(f"this machine has no {request.param}")
    pool = Native(library, threads=2)
    yield NativeMasking(library, request.param)
    pool.close()


def words(*shape: int, seed: int) -> Words:
    return np.random.default_rng(seed).integers(0, 2**32, shape, np.uint32)


def image(columns: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 2**64, columns, np.uint64)


def rows_at_the_edge(rows: int, columns: int, dtype: torch.dtype, seed: int) -> Tensor:
    """Numbers of every size below 2^31, halves among them, and some that are none."""
    generator = torch.Generator().manual_seed(seed)
    sizes = torch.randint(-8, 31, (rows, columns), generator=generator)
    x = torch.rand(rows, columns, generator=generator).sub_(0.5).mul_(2.0**sizes)
    halves = torch.randint(-99, 99, (rows, columns), generator=generator) + 0.5
    return torch.where(sizes < 0, halves, x).to(dtype)


@per_variant
@given(rows=st.integers(4, 40), columns=st.integers(1, 700), dtype=TYPES, seed=st.integers(0, 99))
def test_spaces_as_the_twins_do(
    masking: NativeMasking, rows: int, columns: int, dtype: torch.dtype, seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    sizes = 2.0 ** torch.randint(-120, 120, (rows, 1), generator=generator)
    x = (torch.randn(rows, columns, generator=generator) * sizes).to(dtype)
    x[0], x[1, 0], x[2, -1], x[3] = 0, torch.nan, -torch.inf, 3e38
    wanted, found = TWINS.space(x, 1e6), masking.space(x, 1e6)
    assert torch.equal(torch.stack(wanted).nan_to_num(7), torch.stack(found).nan_to_num(7))
    assert found[0][:3].tolist() == [1, 0, 0]
    lengths = x[3:].double().norm(dim=1)
    scaled, largest = lengths * found[0][3:], found[0][3:] == 2.0**120
    assert bool((scaled <= 1e6).all())
    assert bool((largest | (scaled > 0.5e6)).all())


@per_variant
@given(
    rows=st.integers(1, 40),
    columns=st.integers(1, 700),
    dtype=TYPES,
    masked=st.booleans(),
    checked=st.booleans(),
    seed=st.integers(0, 99),
)
def test_hides_as_the_twins_do(
    masking: NativeMasking,
    rows: int,
    columns: int,
    dtype: torch.dtype,
    masked: bool,
    checked: bool,
    seed: int,
) -> None:
    x = rows_at_the_edge(rows, columns, dtype, seed)
    factors = torch.full((rows,), 1.0)
    if rows > 1:
        x[0, 0], factors[0], factors[1] = torch.nan, 0, 0.25
    masks = words(rows, columns, seed=seed) if masked else None
    of = image(columns, seed) if checked else None
    wanted = TWINS.hide(x, factors, None if masks is None else masks.copy(), of)
    found = masking.hide(x, factors, masks, of)
    assert all(np.array_equal(a, b) for a, b in zip(wanted, found, strict=True))
    assert masks is None or found[0] is masks


@per_variant
@given(
    rows=st.integers(1, 40),
    columns=st.integers(1, 700),
    dtype=TYPES,
    masked=st.booleans(),
    checked=st.booleans(),
    seed=st.integers(0, 99),
)
def test_reveals_as_the_twins_do(
    masking: NativeMasking,
    rows: int,
    columns: int,
    dtype: torch.dtype,
    masked: bool,
    checked: bool,
    seed: int,
) -> None:
    generator = torch.Generator().manual_seed(seed)
    products = words(rows, columns, seed=seed)
    masks = words(rows, columns, seed=seed + 100) if masked else None
    secret = words(columns, seed=seed + 200) if checked else None
    steps = 2.0 ** torch.randint(-126, 120, (rows,), generator=generator)
    if rows > 1:
        steps[0] = torch.nan
    scales = torch.rand(columns, generator=generator)
    wanted = TWINS.reveal(products, masks, secret, steps, scales, dtype)
    found = masking.reveal(products, masks, secret, steps, scales, dtype)
    assert torch.equal(wanted[0].nan_to_num(7), found[0].nan_to_num(7))
    assert np.array_equal(wanted[1], found[1])


def test_sums_are_those_of_big_integers(masking: NativeMasking) -> None:
    extremes = np.array([[2**31, 2**31 - 1, 1, 2**32 - 1] * 70], np.uint32)
    secret, of = words(280, seed=1), image(280, 2)
    x = torch.tensor([[-(2.0**31), 2.0**30, 1.0, -1.0] * 70])
    one, scales = torch.ones(1), torch.ones(280)
    _, found = masking.reveal(extremes, None, secret, one, scales, torch.float32)
    signed = extremes.view(np.int32)[0].tolist()
    exact = sum(a * b for a, b in zip(signed, secret.view(np.int32).tolist(), strict=True))
    assert int(found[0]) == exact % 2**64
    _, found = masking.hide(x, one, None, of)
    exact = sum(int(a) * b for a, b in zip(x[0].tolist(), of.tolist(), strict=True))
    assert int(found[0]) == exact % 2**64


def test_one_row_of_masks_may_stand_for_all_and_stays(masking: NativeMasking) -> None:
    row = words(1, 300, seed=3)
    masks, x = np.broadcast_to(row, (9, 300)), torch.randn(9, 600)[:, ::2]
    kept, factors = row.copy(), torch.full((9,), 256.0)
    found, _ = masking.hide(x, factors, masks, None)
    assert np.array_equal(found, TWINS.hide(x, factors, masks, None)[0])
    assert np.array_equal(row, kept)
    taken = masking.reveal(found, masks, None, 1 / factors, torch.ones(300), torch.float32)[0]
    assert torch.equal(taken, (x * 256).round() / 256)


def test_what_does_not_fit_is_refused(masking: NativeMasking) -> None:
    x, factors = torch.ones(2, 8), torch.ones(2)
    with pytest.raises(ValueError, match="masks must be"):
        masking.hide(x, factors, words(2, 7, seed=1), None)
    with pytest.raises(ValueError, match="array \\[8\\]"):
        masking.hide(x, factors, None, image(7, 1))
    with pytest.raises(ValueError, match="vector of 2"):
        masking.hide(x, torch.ones(3), None, None)
    with pytest.raises(ValueError, match="unbroken"):
        masking.hide(x, factors, words(2, 16, seed=1)[:, ::2], None)
    with pytest.raises(ValueError, match="vector of 8"):
        masking.reveal(words(2, 8, seed=1), None, None, factors, torch.ones(9), torch.float32)
