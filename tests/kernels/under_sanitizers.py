"""Compares a library with the twins; run by a test in a process that has the sanitizers."""

import sys
from itertools import product
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from worker.kernels.library import Library
from worker.kernels.lowbit import INT4, INT8, Format, quantise
from worker.kernels.masking import Masking, NativeMasking
from worker.kernels.masking_twins import MaskingTwins
from worker.kernels.native import Native
from worker.kernels.packed import pack
from worker.kernels.twins import Twins


def main() -> None:
    torch.set_num_threads(1)
    library = Library(Path(sys.argv[1]))
    count = 0
    for form, dtype, rows, (outputs, inputs) in product(
        (INT4, INT8, Format(4, 64)),
        (torch.float32, torch.bfloat16),
        (1, 5, 6, 13),
        ((33, 50), (64, 96)),
    ):
        matrix = pack(quantise(torch.randn(outputs, inputs).to(dtype), form))
        x, bias = torch.randn(rows, inputs).to(dtype), torch.randn(outputs).to(dtype)
        wanted = Twins().multiply(matrix, x, bias)
        for variant in library.variants():
            kernels = Native(library, variant, threads=2)
            assert torch.equal(kernels.multiply(matrix, x, bias), wanted)
            kernels.look_up(matrix, torch.tensor([0, outputs - 1]))
            kernels.close()
            count += 1
    compare_masking(library)
    sys.stdout.write(f"compared {count}\n")


def compare_masking(library: Library) -> None:
    """Over blocks that are full and broken, with masks and without."""
    for shape in product((torch.float32, torch.bfloat16), (1, 40), (1, 256, 999), (True, False)):
        wanted = masking(MaskingTwins(), *shape)
        for variant in library.variants():
            kernels = NativeMasking(library, variant, threads=2)
            found = masking(kernels, *shape)
            assert all(torch.equal(a, b) for a, b in zip(wanted, found, strict=True))
            kernels.close()


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
