"""The integers: exact, without overflow, the same under a mask, and checked."""

from collections.abc import Callable
from operator import mul

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from cloister.errors import BadSettings
from worker.execution.split.arithmetic import BadProduct, Ring, RingRows
from worker.execution.split.check import Check
from worker.execution.split.masks import LocalPool, MaskSource, NoMasks
from worker.execution.split.products import KINDS, choose
from worker.execution.split.ring import room
from worker.execution.split.sites import Int8Weight, SiteId, to_int8
from worker.execution.split.stream import MaskStream, Words
from worker.kernels.masking import find_masking
from worker.kernels.masking_twins import MaskingTwins

SITE = SiteId(0, "o")
TWINS = MaskingTwins()
WIDTHS = (64, 100, 2048, 8192, 28672)


def rows_of(width: int) -> Tensor:
    """Gaussian rows, rows with one huge channel, tiny, huge, zero and one-hot rows."""
    generator = torch.Generator().manual_seed(width)
    x = torch.randn(9, width, generator=generator)
    x[1, 3] = 1000
    x[2] *= 1e-30
    x[3] *= 1e30
    x[4] = 0
    x[5], x[5, 7] = 0, 1
    x[6] = 3e38
    x[7] = -x[7].abs()
    return x


def weight_of(width: int) -> Int8Weight:
    """Gaussian rows, rows of the largest value, a zero row."""
    matrix = torch.randn(12, width, generator=torch.Generator().manual_seed(width))
    matrix[0], matrix[1], matrix[2] = 1, -1, 0
    return to_int8(matrix)


def by_big_integers(integers: np.ndarray, weight: Int8Weight) -> list[list[int]]:
    """Python's own integers, which have no width."""
    return products(integers.view(np.int32).tolist(), weight.values.tolist())


def products(rows: list[list[int]], matrix: list[list[int]]) -> list[list[int]]:
    return [[sum(map(mul, x, w)) for w in matrix] for x in rows]


def spaced(x: Tensor, weight: Int8Weight) -> tuple[Tensor, Tensor]:
    return TWINS.space(x, room(x.shape[1], weight.norm))


def integers_of(x: Tensor, weight: Int8Weight) -> Words:
    return TWINS.hide(x, spaced(x, weight)[0], None, None)[0]


def numbers(products: Words, x: Tensor, weight: Int8Weight) -> Tensor:
    _, steps = spaced(x, weight)
    return TWINS.reveal(products, None, None, steps, weight.scale, x.dtype)[0]


def holds(check: Check, x: Tensor, products: Words, weight: Int8Weight) -> bool:
    """Are `products` those of the integers of `x`, as far as the check can tell?"""
    factors, steps = spaced(x, weight)
    wanted = TWINS.hide(x, factors, None, check.image)[1]
    found = TWINS.reveal(products, None, check.secret, steps, weight.scale, x.dtype)[1]
    return np.array_equal(wanted, found)


def ring(weight: Int8Weight, source: MaskSource) -> Ring:
    product = KINDS[choose([weight.values])](weight.values)
    made = Ring(SITE, weight, product, source, find_masking())
    source.start()
    return made


def answer(rows: RingRows, weight: Int8Weight) -> bytearray:
    """What an honest GPU replies: it sees the payload alone."""
    x = torch.frombuffer(bytearray(rows.payload), dtype=torch.int32).view(
        -1, weight.values.shape[1]
    )
    return bytearray(KINDS["float64"](weight.values)(x).numpy().tobytes())


@pytest.mark.parametrize("width", WIDTHS)
def test_blind_is_plain_is_big_integers_to_the_bit(width: int) -> None:
    x, weight = rows_of(width), weight_of(width)
    truth = by_big_integers(integers_of(x, weight), weight)
    assert max(abs(each) for row in truth for each in row) < 2**31
    expected = numbers(np.array(truth, np.int64).astype(np.uint32), x, weight)
    pool = LocalPool(2**26, "wait", MaskStream())
    try:
        for source in (pool, NoMasks()):
            rows = ring(weight, source).prepare(x, to_send=True)
            assert torch.equal(rows.restore(answer(rows, weight)), expected)
            assert torch.equal(rows.here(), expected)
    finally:
        pool.close()


@pytest.mark.parametrize("width", WIDTHS)
def test_integers_keep_most_of_the_precision(width: int) -> None:
    x, weight = rows_of(width), to_int8(torch.randn(12, width))
    steps = spaced(x, weight)[1][:, None].double()
    back = torch.from_numpy(integers_of(x, weight).view(np.int32)).double() * steps
    x, back = x[:6].double(), back[:6]
    error = (back - x).norm(dim=1) / x.norm(dim=1).clamp(min=1e-300)
    assert float(error.max()) < 3e-4


@given(st.integers(1, 300), st.integers(0, 2**32), st.floats(1e-30, 1e30))
def test_no_product_of_any_row_reaches_the_edge(width: int, seed: int, size: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    weight = to_int8(torch.randn(3, width, generator=generator).sign())
    x = torch.stack([weight.values[0].float(), torch.randn(width, generator=generator)]) * size
    integers = integers_of(x, weight).view(np.int32).astype(np.int64)
    wide = integers @ weight.values.numpy().T.astype(np.int64)
    assert abs(wide).max() < 2**31


def test_row_that_is_not_finite_sends_nothing_and_harms_no_other() -> None:
    x, weight = torch.randn(3, 64), weight_of(64)
    broken = x.clone()
    broken[1, 5] = torch.inf
    integers, whole = integers_of(broken, weight), integers_of(x, weight)
    assert not integers[1].any()
    assert np.array_equal(integers[[0, 2]], whole[[0, 2]])
    assert ring(weight, NoMasks()).prepare(broken, to_send=False).here().isnan().all(
        1
    ).tolist() == [
        False,
        True,
        False,
    ]


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("width", [8, 21, 1500, 40000])
def test_product_is_exact_mod_2_to_32(name: str, width: int) -> None:
    generator = torch.Generator().manual_seed(width)
    w8 = torch.randint(-127, 128, (11, width), generator=generator, dtype=torch.int8)
    w8[0], w8[1] = 127, -127
    x = torch.randint(-(2**31), 2**31, (5, width), generator=generator).int()
    x[0], x[1], x[2] = 2**31 - 1, -(2**31), -1
    exact = np.array(products(x.tolist(), w8.tolist())) % 2**32
    assert (KINDS[name](w8)(x).numpy().view(np.uint32) == exact).all()


def test_device_that_computes_wrongly_is_refused() -> None:
    def rounded(w8: Tensor) -> Callable[[Tensor], Tensor]:
        return lambda x: (x.float() @ w8.float().T).long().int()

    w8 = torch.ones(8, 64, dtype=torch.int8)
    assert choose([w8], {"rounded": rounded, "right": KINDS["float64"]}) == "right"
    with pytest.raises(BadSettings, match="wrong"):
        choose([w8], {"rounded": rounded})


@pytest.mark.parametrize("error", [1, -1, 255, 2**16, 2**30, -(2**31)])
def test_check_finds_any_wrong_element(error: int) -> None:
    weight, x = weight_of(64), rows_of(64)
    true = np.array(by_big_integers(integers_of(x, weight), weight), np.int64).astype(np.uint32)
    check = Check(weight.values)
    assert holds(check, x, true, weight)
    for place in ((0, 0), (4, 11), (8, 5)):
        wrong = true.copy()
        wrong[place] ^= np.uint32(error % 2**32)
        assert not holds(check, x, wrong, weight)


def test_check_finds_errors_that_cancel_and_rows_that_swap() -> None:
    weight, x = weight_of(64), rows_of(64)
    true = np.array(by_big_integers(integers_of(x, weight), weight), np.int64).astype(np.uint32)
    cancelling, halves = true.copy(), true.copy()
    cancelling[0, :2] += np.array([5, -5]).astype(np.uint32)
    halves[0, :2] += np.uint32(2**31)  # would cancel mod 2^32
    for wrong in (cancelling, halves, true[::-1].copy(), np.roll(true, 1, 1)):
        assert not holds(Check(weight.values), x, wrong, weight)


def test_wrong_mask_product_is_found_and_made_good(caplog: pytest.LogCaptureFixture) -> None:
    weight, pool = weight_of(64), LocalPool(2**20, "wait", MaskStream())
    try:
        rows = ring(weight, pool).prepare(rows_of(64), to_send=True)
        expected = rows.restore(answer(rows, weight))
        assert not caplog.text
        rows._masks.products[2, 3] ^= np.uint32(2**31)
        assert torch.equal(rows.restore(answer(rows, weight)), expected)
        assert "mask's product" in caplog.text
        lie = answer(rows, weight)
        lie[0] ^= 1
        with pytest.raises(BadProduct):
            rows.restore(lie)
    finally:
        pool.close()


def test_int8_weights_are_near_and_bounded() -> None:
    matrix = torch.randn(1500, 96)
    matrix[7] = 0
    weight = to_int8(matrix)
    assert (
        weight.values.float() * weight.scale[:, None] - matrix
    ).abs().max() <= matrix.abs().max() / 253
    assert weight.values.abs().max() == 127
    assert weight.norm >= float(weight.values.double().norm(dim=1).max())
