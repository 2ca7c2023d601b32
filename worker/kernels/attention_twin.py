"""Attention in PyTorch: what tests compare the C++ with, and what runs where none was compiled.

Sums are in another order than in C++, so results are near, not equal.
"""

import torch
from torch import Tensor
from torch.nn import functional

from worker.kernels.attention import Heads, Places, Run
from worker.kernels.pages import Pages

BLOCK_ROWS = 128
"""Longer runs attend in blocks of so many rows: each sees only keys up to its own end."""


class AttentionTwin:
    """One layer's; satisfies `Attention`."""

    def __init__(self, heads: Heads, pages: Tensor) -> None:
        self._heads = heads
        self._pages = Pages(pages, heads.dim)

    def __call__(self, qkv: Tensor, places: Places) -> Tensor:
        heads = self._heads
        rows = qkv.view(len(qkv), heads.width // heads.dim, heads.dim)
        query, key, value = rows.to(torch.float32, copy=True).split_with_sizes(
            [heads.query, heads.key, heads.key], 1
        )
        if heads.norms is not None:
            query, key = (
                functional.rms_norm(x, (heads.dim,), weight, heads.epsilon)
                for x, weight in zip((query, key), heads.norms, strict=True)
            )
        for each in (query, key):
            places.rotation.apply_(each)
        self._keep(key, value, places)
        out = torch.empty(query.shape)
        for run in places.runs:
            for offset in range(0, run.rows, BLOCK_ROWS):
                self._attend(query, run, offset, out)
        return out.flatten(1).to(qkv.dtype)

    def _keep(self, key: Tensor, value: Tensor, places: Places) -> None:
        """Put keys and values `[rows, key_heads, dim]` into their pages."""
        size = places.page_size
        places_of = [
            (run.pages[at // size], at % size)
            for run in places.runs
            for at in range(run.start, run.end)
        ]
        page, offset = torch.tensor(places_of, dtype=torch.int64).view(-1, 2).unbind(1)
        self._pages.write(page, offset, key, value)

    def _attend(self, query: Tensor, run: Run, offset: int, out: Tensor) -> None:
        """Fill some rows of `out`, beginning `offset` rows into a run."""
        heads = self._heads
        start = run.start + offset
        rows = min(BLOCK_ROWS, run.rows - offset)
        own = slice(run.first_row + offset, run.first_row + offset + rows)
        count = start + rows
        key, value = self._pages.read(run.pages[: -(-count // self._pages.size)], count)
        grouped = query[own].view(
            rows, heads.key, heads.group, heads.dim
        )  # [rows, key_heads, group, dim]
        scores = torch.einsum("rkgd,kdn->kgrn", grouped, key) * heads.dim**-0.5
        hidden = _hidden(start, rows, key.shape[-1], heads.window)
        weights = scores.masked_fill_(hidden, float("-inf")).softmax(-1)
        out[own] = torch.einsum("kgrn,knd->rkgd", weights, value).flatten(1, 2)


def _hidden(start: int, rows: int, keys: int, window: int | None) -> Tensor:
    """What each row does not see, bool [rows, keys]."""
    position = torch.arange(start, start + rows).unsqueeze(1)
    key = torch.arange(keys)
    hidden = key > position
    return hidden if window is None else hidden | (key <= position - window)
