"""Attention is near the twin's, and its bits depend on nothing but a row's own text."""

import math

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from tests.kernels.attending import Share, Text, heads_of
from worker.kernels.attention import Heads
from worker.kernels.library import Library
from worker.kernels.native import Native
from worker.kernels.pages import Pages
from worker.kernels.twins import Twins

per_variant = settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])


def near(found: Tensor, wanted: Tensor, least: float = 1e-5) -> None:
    """To 1e-5, or in bfloat16 to one rounding of keys, queries and results each."""
    limit = max(least, 0.016 if found.dtype == torch.bfloat16 else 0)
    torch.testing.assert_close(found, wanted, rtol=limit, atol=limit)


def least_limit(text: Text) -> float:
    """In int8 a query has 16 bits, and a norm whose last bit differs may change a code by one."""
    if text.pages_dtype == torch.int8:
        return 1e-3 if text.heads.norms is None else 0.05
    return 0.016 if text.pages_dtype == torch.bfloat16 else 1e-5


FORMS = [  # of rows, and of pages
    (torch.float32, torch.float32),
    (torch.bfloat16, torch.bfloat16),
    (torch.float32, torch.bfloat16),
    (torch.bfloat16, torch.int8),
    (torch.float32, torch.int8),
]
every_form = pytest.mark.parametrize("form", FORMS, ids=str)

Form = tuple[torch.dtype, torch.dtype]


@st.composite
def texts(draw: st.DrawFn) -> Text:
    dtype, kept = draw(st.sampled_from(FORMS))
    step = 4 if kept == torch.int8 else 2
    key, group = draw(st.integers(1, 3)), draw(st.integers(1, 8))
    return Text(
        heads_of(
            key * group,
            key,
            draw(st.sampled_from([step, 16, 16 + step, 64, 80, 128, 256])),
            norms=draw(st.booleans()),
            window=draw(st.sampled_from([None, None, 1, 20, 64, 100])),
        ),
        draw(st.lists(st.integers(1, 150), min_size=1, max_size=4)),
        dtype,
        draw(st.sampled_from([step, 2 * step, 3 * step, 16, 32, 48])),
        kept=kept,
    )


@per_variant
@given(text=texts(), known=st.floats(0, 1))
def test_attends_like_the_twin(native: Native, text: Text, known: float) -> None:
    starts = [int(known * (length - 1)) for length in text.lengths]
    steps = [
        [(0, start) if start else None for start in starts],
        [(start, length - start) for start, length in zip(starts, text.lengths, strict=True)],
    ]
    for found, wanted in zip(
        text.answers(native, steps), text.answers(Twins(), steps), strict=True
    ):
        near(found, wanted, least_limit(text))


@every_form
def test_keeps_keys_and_values_like_the_twin(native: Native, form: Form) -> None:
    text = Text(heads_of(norms=True), [50, 33], form[0], kept=form[1])
    kept = []
    for kernels in (native, Twins()):
        pages = text.pages(stale=0)
        kernels.attention(text.heads, pages)(*text.step([(0, 50), (0, 33)]))
        kept.append(Pages(pages, text.heads.dim).read(text.pages_of[0], 50))
    (key, value), (key_wanted, value_wanted) = kept
    assert torch.equal(value, value_wanted)
    limit = {torch.float32: 1e-5, torch.bfloat16: 0.016, torch.int8: 0.03}[form[1]]
    torch.testing.assert_close(key, key_wanted, rtol=limit, atol=limit)


SHAPES = [
    heads_of(),
    heads_of(3, 3, 20, norms=True),
    heads_of(8, 1, 64, window=70),
    heads_of(14, 2, 128),
]


@pytest.mark.parametrize("heads", SHAPES)
@every_form
@pytest.mark.parametrize("page_size", [4, 16])
@pytest.mark.parametrize("sizes", [[1] * 150, [64, 86], [63, 1, 1, 85], [7, 100, 1, 42]])
def test_chunked_equals_at_once_to_the_bit(
    native: Native, heads: Heads, form: Form, page_size: int, sizes: list[int]
) -> None:
    text = Text(heads, [150], form[0], page_size, kept=form[1])
    ends = torch.tensor(sizes).cumsum(0).tolist()
    steps = [[(end - size, size)] for end, size in zip(ends, sizes, strict=True)]
    assert torch.equal(torch.cat(text.answers(native, steps)), text.at_once(native))


@pytest.mark.parametrize("heads", SHAPES)
@every_form
def test_batch_equals_alone_to_the_bit(native: Native, heads: Heads, form: Form) -> None:
    lengths = [1, 150, 64, 65, 17, 3]
    text = Text(heads, lengths, form[0], kept=form[1])
    parts = text.at_once(native).split(lengths)
    for index, (part, length) in enumerate(zip(parts, lengths, strict=True)):
        alone: list[Share | None] = [None] * len(lengths)
        alone[index] = (0, length)
        assert torch.equal(text.answers(native, [alone])[0], part)


@pytest.mark.parametrize("threads", [2, 3])
def test_threads_change_nothing(library: Library, threads: int) -> None:
    text = Text(heads_of(8, 2, 64), [200, 1, 90], torch.bfloat16)
    several = Native(library, threads=threads, spins=10)
    for _ in range(10):
        assert torch.equal(text.at_once(several), text.at_once(Native(library)))
    several.close()


@every_form
@pytest.mark.parametrize("page_size", [4, 16])
@pytest.mark.parametrize("poison", [math.nan, math.inf])
@pytest.mark.parametrize("first", [0, 96], ids=["all", "values"])
def test_sequence_that_is_not_finite_spoils_itself_alone(
    native: Native, form: Form, poison: float, page_size: int, first: int
) -> None:
    text = Text(heads_of(), [30, 41, 77], form[0], page_size, kept=form[1])
    clean = text.at_once(native).split([30, 41, 77])
    text.rows[1][20, first:] = poison
    spoilt = text.at_once(native).split([30, 41, 77])
    assert not spoilt[1][20:].isfinite().any()
    assert torch.equal(spoilt[0], clean[0])
    assert torch.equal(spoilt[2], clean[2])


@every_form
@pytest.mark.parametrize("length", [1, 15, 17, 64, 65])
def test_what_is_left_over_in_pages_does_not_matter(
    native: Native, form: Form, length: int
) -> None:
    text = Text(heads_of(dim=32), [length], form[0], kept=form[1])
    answers = []
    for stale in (0.0, math.nan, math.inf):
        attention = native.attention(text.heads, text.pages(stale))
        answers.append(attention(*text.step([(0, length)])))
    assert answers[0].isfinite().all()
    assert torch.equal(answers[1], answers[0])
    assert torch.equal(answers[2], answers[0])


@pytest.mark.parametrize("kept", [torch.float32, torch.int8])
@pytest.mark.parametrize("spread", [0.0, 1e-20, 100.0, 1e6])
def test_extremes_are_like_the_twin(native: Native, kept: torch.dtype, spread: float) -> None:
    text = Text(heads_of(), [100], spread=spread, kept=kept)
    found, wanted = text.at_once(native), text.at_once(Twins())
    assert found.isfinite().all()
    torch.testing.assert_close(found / (spread or 1), wanted / (spread or 1), rtol=1e-3, atol=1e-3)


def test_equal_keys_give_the_mean_of_values(native: Native) -> None:
    text = Text(heads_of(2, 1), [90])
    text.rows[0][:, :48] = 0  # queries and keys
    means = text.rows[0][:, 48:].cumsum(0) / torch.arange(1, 91).unsqueeze(1)
    near(text.at_once(native), means.repeat(1, 2))


def test_no_rows_are_no_work(native: Native) -> None:
    text = Text(heads_of(), [10])
    assert text.answers(native, [[None]])[0].shape == (0, 64)


def test_rows_stay_as_they_are(native: Native) -> None:
    text = Text(heads_of(norms=True), [10])
    for kernels in (native, Twins()):
        rows, places = text.step([(0, 10)])
        before = rows.clone()
        kernels.attention(text.heads, text.pages())(rows, places)
        assert torch.equal(rows, before)
