"""How probable the model found tokens: the log-softmax of its logits as they are.

Neither temperature nor penalties, biases or truncation count, as with OpenAI and vLLM: the values
tell of the model, and are the same however a token was chosen.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from worker.engine.plan import Plan
from worker.engine.request import Logprob


@dataclass(frozen=True, slots=True)
class Query:
    """Asks for token `id` and the `top` most probable ones in one row of the logits."""

    row: int
    id: int = field(repr=False)
    top: int


def logprobs(logits: Tensor, queries: Sequence[Query]) -> list[Logprob]:
    """Answer all queries in one pass.

    Args:
        logits: float32 [rows, vocabulary]
    """
    if not queries:
        return []
    rows = logits[[query.row for query in queries]]  # [queries, vocabulary]
    totals = rows.logsumexp(-1, keepdim=True)
    asked = torch.tensor([[query.id] for query in queries])
    values: list[float] = (rows.gather(-1, asked) - totals).flatten().tolist()
    best, ids = rows.topk(min(max(query.top for query in queries), rows.shape[-1]))
    tops = zip(ids.tolist(), (best - totals).tolist(), strict=True)
    return [
        Logprob(value, tuple(zip(ids[: query.top], best[: query.top], strict=True)))
        for query, value, (ids, best) in zip(queries, values, tops, strict=True)
    ]


def queries(plan: Plan, chosen: Sequence[Sequence[int]]) -> Iterator[Query]:
    """What is asked of a step's logits: share by share, scored prompt tokens, then the new ones.

    `chosen` are the new tokens of each share that completes.
    """
    new = iter(chosen)
    row = 0
    for share in plan.shares:
        request, first = share.sequence.request, len(share.sequence.scores) + 1
        ids = next(new) if share.completes else ()
        if request.logprobs is not None:
            asked = (*request.prompt[first : first + share.scored], *ids)
            yield from (Query(at, id, request.logprobs) for at, id in enumerate(asked, start=row))
        row += share.logits
