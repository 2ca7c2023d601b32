"""Chooses the next tokens of each sequence from its logits, as its constraint allows.

A greedy choice under a grammar is tried: nearly always it is taken, and no mask has to be made.
Where one was refused lately, and in sampling, masks come first. What has to be drawn is drawn
together.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

import torch
from torch import Tensor

from cloister.errors import CloisterError, InternalError
from worker.engine.sampler import Pick, adjust
from worker.kernels.draw import HIGHEST, NOTHING, Masks, Rule, draw


class Draw(Protocol):
    """The token of each row of logits by its own rule; `worker.kernels.draw` says which one."""

    def __call__(self, logits: Tensor, rules: Sequence[Rule], masks: Masks = ()) -> list[int]: ...


@dataclass(slots=True)
class Choice:
    """New tokens; `is_complete` if their constraint wants no more, `fault` if it cannot go on."""

    ids: list[int] = field(default_factory=list, repr=False)
    is_complete: bool = False
    fault: CloisterError | None = None


def choose(logits: Tensor, picks: Sequence[Pick], draw: Draw = draw) -> list[Choice]:
    """Choose tokens for each pick: one, and one more behind each draft that equals the choice.

    All rows are drawn at once; then, together, the first row of each pick that depends on tokens
    before it, the second, and so on.

    Args:
        logits: float32 [rows, vocabulary], pick by pick

    Raises:
        FloatingPointError: a row holds no finite logit, or a NaN; the model is broken.
    """
    rules, masks = _first_rows(picks)
    drawn, start = draw(logits, rules, masks if any(masks) else ()), 0
    choices = [Choice() for _ in picks]
    asked: list[tuple[Chain, Row]] = []
    for pick, choice in zip(picks, choices, strict=True):
        end = start + 1 + len(pick.drafts)
        if pick.is_free:
            choice.ids = _agreed(drawn[start:end], pick.drafts)
        else:
            chain = Chain(pick, choice, logits, drawn, start)
            if row := chain.go_on(drawn[start] if masks[start] else None):
                asked.append((chain, row))
        start = end
    while asked:
        ids = _draw_rows([row for _, row in asked], draw)
        answered = zip(asked, ids, strict=True)
        asked = [(chain, row) for (chain, _), id in answered if (row := chain.go_on(id))]
    return choices


@dataclass(frozen=True, slots=True)
class Row:
    """Logits [vocabulary] to draw from; `mask` tells what may be drawn, None for everything."""

    logits: Tensor = field(repr=False)
    rule: Rule
    mask: bytes | None = field(repr=False)


@dataclass(slots=True)
class Chain:
    """One pick's tokens, each depending on those before it; its rows of `logits` begin at `start`.

    `drawn` has each row's own token, the most probable one but for what a mask said of the first.
    """

    pick: Pick
    choice: Choice
    logits: Tensor = field(repr=False)
    drawn: list[int] = field(repr=False)
    start: int

    def go_on(self, id: int | None) -> Row | None:
        """Choose `id`, which was asked for, and on; the row to ask for next, None at the end."""
        try:
            if id is not None:
                self._follow(id)
                if not self._say(id):
                    return None
            while self._takes(id := self.drawn[self.start + len(self.choice.ids)]):
                if not self._say(id):
                    return None
            return self._row()
        except CloisterError as fault:
            self.choice.fault = fault
            return None

    def _takes(self, drawn: int) -> bool:
        """Is the row's own token the choice? Mostly so, and trying is much cheaper than a mask."""
        constraint = self.pick.constraint
        return constraint is not None and self.pick.is_plain and constraint.take(drawn)

    def _row(self) -> Row:
        """The next row, by all that is known now."""
        pick, ids = self.pick, self.choice.ids
        now = replace(pick, generated=[*pick.generated, *ids]) if ids else pick
        mask = None if pick.constraint is None else pick.constraint.allowed()
        return Row(adjust(self.logits[self.start + len(ids)], now), now.rule(), mask)

    def _follow(self, id: int) -> None:
        """Have the constraint take what its mask allows."""
        if id == NOTHING:
            raise InternalError("the grammar leaves no token to choose")
        taken = self.pick.constraint is None or self.pick.constraint.take(id)
        assert taken, "a mask allows what the constraint takes"

    def _say(self, id: int) -> bool:
        """Append a token; is the one behind it to be chosen too?"""
        constraint, ids, drafts = self.pick.constraint, self.choice.ids, self.pick.drafts
        ids.append(id)
        if constraint is not None and constraint.complete:
            self.choice.is_complete = True
            return False
        return len(ids) <= len(drafts) and drafts[len(ids) - 1] == id


def _agreed(drawn: list[int], drafts: Sequence[int]) -> list[int]:
    """What was drawn, up to the first token that is not its draft."""
    for right, (id, draft) in enumerate(zip(drawn, drafts, strict=False), start=1):
        if id != draft:
            return drawn[:right]
    return drawn


def _first_rows(picks: Sequence[Pick]) -> tuple[list[Rule], list[bytes | None]]:
    """How all rows are drawn, before anything is known of the tokens behind each pick's first."""
    rules: list[Rule] = []
    masks: list[bytes | None] = []
    for pick in picks:
        if pick.is_free:
            rules += [pick.rule(ahead) for ahead in range(1 + len(pick.drafts))]
            masks.append(None)
        else:
            masks.append(_mask(pick))
            rules.append(HIGHEST if masks[-1] is None else pick.rule())
            rules += [HIGHEST] * len(pick.drafts)
        masks += [None] * len(pick.drafts)
    return rules, masks


def _mask(pick: Pick) -> bytes | None:
    """What may come next, where it is asked at once: where a choice without it is in doubt."""
    constraint = pick.constraint
    if constraint is None or pick.changes_logits:
        return None
    if pick.is_plain and not constraint.doubtful:
        return None
    try:
        return constraint.allowed()
    except CloisterError:  # raised again in the chain
        return None


def _draw_rows(rows: Sequence[Row], draw: Draw) -> list[int]:
    alone = len(rows) == 1  # and need not be copied
    logits = rows[0].logits.unsqueeze(0) if alone else torch.stack([row.logits for row in rows])
    return draw(logits, [row.rule for row in rows], [row.mask for row in rows])
