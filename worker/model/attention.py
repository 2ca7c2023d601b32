"""Grouped-query attention over paged keys and values."""

import torch
from torch import Tensor
from torch.nn import functional

from worker.model.batch import Span
from worker.model.cache import Cache


def attend(query: Tensor, cache: Cache, layer: int, spans: tuple[Span, ...]) -> Tensor:
    """Attend `query` [rows, heads, head_dim] to each row's own sequence.

    The step's keys and values are in the cache already. Returns `[rows, heads * head_dim]`.
    """
    parts = [_attend(query, cache, layer, span) for span in spans]
    return parts[0] if len(parts) == 1 else torch.cat(parts)


def _attend(query: Tensor, cache: Cache, layer: int, span: Span) -> Tensor:
    gathered = cache.gather(layer, span.pages)
    kv_heads, head_dim = gathered.shape[-2:]
    known = gathered.view(span.sequences, -1, 2, kv_heads, head_dim)
    key, value = known.transpose(1, 3).unbind(2)  # [sequences, kv_heads, keys, head_dim]
    rows = query[span.first_row : span.first_row + span.sequences * span.rows]
    # The heads that share a key head become rows of it: keys are read once for all of them.
    shape = (span.sequences, span.rows, kv_heads, -1, head_dim)
    folded = rows.view(shape).transpose(1, 2).flatten(2, 3)
    out = functional.scaled_dot_product_attention(folded, key, value, attn_mask=span.mask)
    unfolded = out.view(span.sequences, kv_heads, span.rows, -1, head_dim).transpose(1, 2)
    return unfolded.reshape(len(rows), -1)
