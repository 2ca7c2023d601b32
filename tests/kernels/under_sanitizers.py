"""Compares a library with the twins; run by a test in a process that has the sanitizers."""

import sys
from itertools import product
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from tests.kernels.attending import Text, heads_of
from worker.kernels.draw import Rule, draw
from worker.kernels.library import Library
from worker.kernels.lowbit import BF16, INT4, INT8, Format, quantise
from worker.kernels.masking import Masking, NativeMasking
from worker.kernels.masking_twins import MaskingTwins
from worker.kernels.native import Native
from worker.kernels.packed import Fused, pack, pack_gated
from worker.kernels.twins import Twins


def main() -> None:
    torch.set_num_threads(1)
    library = Library(Path(sys.argv[1]))
    count = 0
    for form, dtype, rows, (outputs, inputs) in product(
        (INT4, INT8, Format(4, 64), BF16),
        (torch.float32, torch.bfloat16),
        (1, 5, 6, 13),
        ((33, 50), (64, 96)),
    ):
        codes = quantise(torch.randn(2 * outputs, inputs).to(dtype), form)
        matrix, x = pack(codes), torch.randn(rows, inputs).to(dtype)
        bias, norm = torch.randn(2 * outputs).to(dtype), torch.randn(inputs).to(dtype)
        linears = Fused(matrix, bias), Fused(pack_gated(codes), bias, norm, 1e-5)
        for variant in library.variants():
            kernels = Native(library, variant, threads=2)
            for fused in linears:
                assert torch.equal(kernels.linear(fused)(x), Twins().linear(fused)(x))
            kernels.look_up(matrix, torch.tensor([0, outputs - 1]))
            kernels.close()
            count += 1
    compare_masking(library)
    sys.stdout.write(f"compared {count + attend(library) + drawn(library)}\n")


def drawn(library: Library) -> int:
    logits = torch.randn(6, 1000)
    logits[1] = 0
    logits[2, ::3] = -torch.inf
    rules = [
        Rule(1.0, top_k, top_p, min_p, point)
        for point, top_k, top_p, min_p in product(
            (0, 0.5, 1 - 2**-53), (0, 1, 7), (1, 0.5), (0, 0.1)
        )
    ]
    rows = logits.repeat(len(rules) // 6, 1)
    kernels = [Native(library, variant, threads=2) for variant in library.variants()]
    for one in kernels:
        assert one.draw(rows, rules) == draw(rows, rules)
        one.close()
    return len(kernels)


def attend(library: Library) -> int:
    """The same for attention; the number of comparisons."""
    count = 0
    for heads, (dtype, kept), page_size, variant in product(
        (heads_of(), heads_of(3, 3, 20), heads_of(8, 1, 64, norms=True, window=70)),
        (
            (torch.float32, torch.float32),
            (torch.bfloat16, torch.bfloat16),
            (torch.float32, torch.int8),
        ),
        (4, 16),
        library.variants(),
    ):
        text = Text(heads, [1, 130, 65], dtype, page_size, kept=kept)
        kernels = Native(library, variant, threads=2)
        torch.testing.assert_close(
            text.at_once(kernels), text.at_once(Twins()), rtol=0.016, atol=0.016
        )
        kernels.close()
        count += 1
    return count


def compare_masking(library: Library) -> None:
    """Over blocks that are full and broken, with masks and without."""
    pool = Native(library, threads=2)
    for shape in product((torch.float32, torch.bfloat16), (1, 40), (1, 256, 999), (True, False)):
        wanted = masking(MaskingTwins(), *shape)
        for variant in library.variants():
            found = masking(NativeMasking(library, variant), *shape)
            assert all(torch.equal(a, b) for a, b in zip(wanted, found, strict=True))
    pool.close()


def masking(
    kernels: Masking, dtype: torch.dtype, rows: int, columns: int, masked: bool
) -> list[Tensor]:
    """All that the kernels make of the same numbers."""
    random = np.random.default_rng(0)
    x, scales = torch.linspace(-9, 9, rows * columns).view(rows, columns), torch.ones(columns) / 3
    masks, products = random.integers(0, 2**32, (2, rows, columns), np.uint32)
    secret, image = random.integers(0, 2**32, (2, columns), np.uint32)
    factors, steps = kernels.space(x.to(dtype), 1e6)
    words, sums = kernels.hide(
        x.to(dtype), factors, masks.copy() if masked else None, image.astype(np.uint64)
    )
    y, others = kernels.reveal(products, masks if masked else None, secret, steps, scales, dtype)
    return [torch.from_numpy(each.view(np.int32)) for each in (words, sums, others)] + [y]


main()
