"""Steps of random numbers for attention."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from worker.kernels.attention import Heads, Places, Rotation, Run
from worker.kernels.native import Kernels
from worker.kernels.pages import allocate_pages

Share = tuple[int, int]  # a sequence's rows: how many stand before them, and how many they are


def numbers(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def heads_of(
    query: int = 4, key: int = 2, dim: int = 16, *, norms: bool = False, window: int | None = None
) -> Heads:
    weights = numbers(2, dim, seed=7).abs() if norms else None
    return Heads(query, key, dim, weights, 1e-6, window)


def rotation(positions: Sequence[int], dim: int) -> Rotation:
    angles = torch.outer(torch.tensor(positions).float(), 0.9 ** torch.arange(dim // 2))
    return Rotation(angles.cos(), angles.sin())


@dataclass
class Text:
    """Some sequences' rows, all that will ever be computed of them, and pages for them."""

    heads: Heads
    lengths: Sequence[int]
    dtype: torch.dtype = torch.float32
    page_size: int = 16
    spread: float = 1.0
    kept: torch.dtype | None = None  # the type of pages; that of rows, if not given

    def __post_init__(self) -> None:
        counts = [-(-length // self.page_size) for length in self.lengths]
        order = torch.randperm(sum(counts) + 1, generator=torch.Generator().manual_seed(1))
        self.rows = [
            (numbers(length, self.heads.width, seed=index) * self.spread).to(self.dtype)
            for index, length in enumerate(self.lengths)
        ]
        self.pages_of = [part.tolist() for part in order[:-1].split(counts)]
        self.page_count = sum(counts) + 1

    @property
    def pages_dtype(self) -> torch.dtype:
        return self.kept or self.dtype

    def pages(self, stale: float = float("nan")) -> Tensor:
        """Memory with something left over in it."""
        heads = self.heads
        shape = (self.page_count, self.page_size, heads.key, heads.dim)
        pages = allocate_pages(*shape, self.pages_dtype)
        (pages.view(torch.bfloat16) if pages.dtype == torch.int8 else pages).fill_(stale)
        return pages

    def step(self, shares: Sequence[Share | None]) -> tuple[Tensor, Places]:
        """A step that computes a share of each sequence, or nothing of it."""
        runs, parts, row = [], [], 0
        for index, share in enumerate(shares):
            if share is None:
                continue
            start, count = share
            runs.append(Run(row, count, start, self.pages_of[index]))
            parts.append(self.rows[index][start : start + count])
            row += count
        positions = [at for run in runs for at in range(run.start, run.end)]
        turned = rotation(positions, self.heads.dim)
        empty = torch.empty(0, self.heads.width, dtype=self.dtype)
        return torch.cat([empty, *parts]), Places(runs, turned, self.page_size)

    def answers(self, kernels: Kernels, steps: Sequence[Sequence[Share | None]]) -> list[Tensor]:
        """What `kernels` answer to steps that follow each other, a tensor a step."""
        attention = kernels.attention(self.heads, self.pages())
        return [attention(*self.step(shares)) for shares in steps]

    def at_once(self, kernels: Kernels) -> Tensor:
        return self.answers(kernels, [[(0, length) for length in self.lengths]])[0]
