"""What attention cannot compute is refused in words, before C++ sees it."""

import pytest
import torch
from torch import Tensor

from tests.kernels.attending import Text, heads_of, numbers, rotation
from worker.kernels.attention import Heads, Places, Run
from worker.kernels.native import Native
from worker.kernels.pages import allocate_pages

GOOD = Text(heads_of(), [20])


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (numbers(19, 128), "rows must be"),
        (numbers(20, 127), "rows must be"),
        (numbers(20, 128).half(), "rows must be"),
        (numbers(128, 20).T, "contiguous"),
    ],
)
def test_bad_rows_are_refused(native: Native, rows: Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        native.attention(GOOD.heads, GOOD.pages())(rows, GOOD.step([(0, 20)])[1])


@pytest.mark.parametrize(
    ("run", "page_size", "dim", "message"),
    [
        (Run(0, 20, 0, (0, 3)), 16, 16, "below 3"),
        (Run(0, 20, 0, (0, 1)), 32, 16, "of 16"),
        (Run(0, 20, 0, (0, 1)), 16, 18, "rotation"),
    ],
)
def test_places_of_other_layers_are_refused(
    native: Native, run: Run, page_size: int, dim: int, message: str
) -> None:
    places = Places([run], rotation(range(20), dim), page_size)
    with pytest.raises(ValueError, match=message):
        native.attention(GOOD.heads, GOOD.pages())(GOOD.rows[0], places)


@pytest.mark.parametrize(
    ("run", "rows", "message"),
    [
        (Run(1, 20, 0, (0, 1)), 20, "follow"),
        (Run(0, 0, 0, (0, 1)), 0, "follow"),
        (Run(0, 20, -1, (0, 1)), 20, "follow"),
        (Run(0, 20, 13, (0, 1)), 20, "a page for each"),
        (Run(0, 20, 0, (0, -1)), 20, "negative"),
        (Run(0, 20, 0, (0, 1)), 19, "rotation"),
    ],
)
def test_places_that_cannot_be_are_refused(run: Run, rows: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Places([run], rotation(range(rows), 16), 16)


@pytest.mark.parametrize(
    ("heads", "pages", "message"),
    [
        (heads_of(), torch.zeros(3, 2, 512, dtype=torch.float16), "bfloat16 or int8"),
        (heads_of(), torch.zeros(3, 2, 1024)[..., ::2], "contiguous"),
        (heads_of(), allocate_pages(3, 16, 1, 16, torch.float32), r"\[count, 2, numbers\]"),
        (heads_of(), allocate_pages(3, 3, 2, 16, torch.bfloat16), "multiples of 2"),
        (heads_of(), allocate_pages(3, 6, 2, 16, torch.int8), "multiples of 4"),
        (heads_of(dim=18), allocate_pages(3, 16, 2, 18, torch.int8), "multiples of 4"),
        (heads_of(dim=32), allocate_pages(3, 15, 2, 18, torch.float32), "heads of 32"),
        (heads_of(dim=512), allocate_pages(3, 16, 2, 512, torch.float32), "at most 256"),
        (heads_of(3, 2), allocate_pages(3, 16, 2, 16, torch.float32), "shared"),
        (Heads(4, 2, 16, numbers(4, 16)), allocate_pages(3, 16, 2, 16, torch.float32), "norms"),
    ],
)
def test_bad_layers_are_refused(native: Native, heads: Heads, pages: Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        native.attention(heads, pages)
