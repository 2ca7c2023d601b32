"""Matrices as codes: what rounding keeps, and that packing loses nothing."""

import pytest
import torch
from torch import Tensor

from worker.kernels.lowbit import BF16, INT4, INT8, Codes, Format, dequantise, integers, quantise
from worker.kernels.packed import PANEL, pack, unpack

FORMS = pytest.mark.parametrize("form", [INT4, INT8, Format(4, 64), Format(8, 128)])


def matrix(rows: int = 50, columns: int = 100) -> Tensor:
    return torch.randn(rows, columns, generator=torch.Generator().manual_seed(1))


def error(found: Tensor, wanted: Tensor) -> float:
    return float((found - wanted).norm() / wanted.norm())


@pytest.mark.parametrize(("form", "limit"), [(INT4, 0.085), (INT8, 0.0056)])
def test_rounding_keeps_a_normal_matrix_nearly(form: Format, limit: float) -> None:
    plain = matrix(500, 640)
    assert error(dequantise(quantise(plain, form)), plain) < limit


def test_searched_scales_beat_those_of_the_largest_number() -> None:
    plain = matrix(500, 640)
    blocks = plain.view(500, -1, INT4.group)
    largest = blocks.gather(-1, blocks.abs().argmax(-1, keepdim=True)) / -8
    naive = ((blocks / largest).round().clamp(-8, 7) * largest).view_as(plain)
    assert error(dequantise(quantise(plain, INT4)), plain) < 0.98 * error(naive, plain)


@FORMS
def test_integers_times_a_scale_come_back_exactly(form: Format) -> None:
    whole = torch.randint(2 - form.zero, form.zero - 1, (9, 2 * form.group)).float()
    whole[:, :: form.group] = 1 - form.zero if form.bits == 8 else -form.zero
    assert torch.equal(dequantise(quantise(whole * 0.25, form)), whole * 0.25)


@FORMS
def test_zeros_stay_zeros(form: Format) -> None:
    assert not dequantise(quantise(torch.zeros(3, 70), form)).any()


@FORMS
def test_rows_are_rounded_alone(form: Format) -> None:
    plain = matrix()
    whole, part = quantise(plain, form), quantise(plain[7:20], form)
    assert torch.equal(whole.rows(7, 20).values, part.values)
    assert torch.equal(whole.rows(7, 20).scales, part.scales)


@pytest.mark.parametrize("form", [INT4, INT8, Format(4, 64), Format(8, 128), BF16])
@pytest.mark.parametrize("rows", [1, PANEL, 50])
def test_packing_loses_nothing(form: Format, rows: int) -> None:
    codes = quantise(matrix(rows), form)
    back = unpack(pack(codes))
    assert torch.equal(back.values, codes.values)
    assert torch.equal(back.scales, codes.scales)


def test_numbers_of_sixteen_bits_stay_as_they_are() -> None:
    plain = matrix(columns=101).bfloat16()
    assert torch.equal(dequantise(unpack(pack(quantise(plain, BF16)))), plain.float())


def test_four_bits_have_sixteen_values() -> None:
    every = torch.arange(256, dtype=torch.uint8).repeat(1, 1)
    codes = Codes(every, torch.ones(1, 16).bfloat16(), 512, INT4, torch.float32)
    assert integers(codes).unique().tolist() == list(range(-8, 8))
