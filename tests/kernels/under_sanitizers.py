"""Compares a library with the twins; run by a test in a process that has the sanitizers."""

import sys
from itertools import product
from pathlib import Path

import torch

from worker.kernels.draw import Rule, draw
from worker.kernels.library import Library
from worker.kernels.lowbit import INT4, INT8, Format, quantise
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
    sys.stdout.write(f"compared {count + drawn(library)}\n")


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


main()
