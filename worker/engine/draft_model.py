"""Guesses by a smaller model of the same vocabulary, which has keys, values and pages of its own.

It chooses as the request would, with the same settings and the same random numbers: so its guess is
the model's own choice wherever both find the same tokens probable, when sampling too.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from torch import Tensor
from torch.nn.functional import pad

from worker.engine.choices import Draw, choose
from worker.engine.drafts import LIKELY_GRADE, Wish
from worker.engine.model import Model
from worker.engine.pages import Pages
from worker.engine.sampler import Pick
from worker.engine.sequence import Sequence
from worker.engine.step import Segment, Step
from worker.kernels.draw import draw


@dataclass(slots=True, eq=False)
class Follower:
    """A sequence as the small model has read it: `tokens` are in `pages`, guesses among them."""

    tokens: list[int] = field(default_factory=list, repr=False)
    pages: list[int] = field(default_factory=list)
    own: int = 0  # of the tokens, those surely the sequence's own

    def agree(self, tokens: list[int]) -> None:
        """Forget guesses that were wrong; the last token is always read, for its logits."""
        most = min(len(self.tokens), len(tokens) - 1)
        while self.own < most and self.tokens[self.own] == tokens[self.own]:
            self.own += 1
        del self.tokens[self.own :]


@dataclass(slots=True, eq=False)
class Draft:
    """The guesses for one wish, while they are made."""

    wish: Wish
    follower: Follower
    guesses: list[int] = field(default_factory=list, repr=False)

    @property
    def is_done(self) -> bool:
        return len(self.guesses) == self.wish.most

    @property
    def unread(self) -> list[int]:
        """Tokens of the sequence, and guesses behind them, that the small model has not read."""
        return [*self.wish.sequence.tokens, *self.guesses][len(self.follower.tokens) :]


class DraftModel:
    """Satisfies `Drafter`.

    Args:
        model: the small one
        vocabulary_size: of the large one; ids mean the same to both
        most: guesses a step
        step_tokens: rows that it computes at once at most; a long prompt is read in several steps,
            and guessed behind only then
    """

    def __init__(
        self,
        model: Model,
        *,
        vocabulary_size: int,
        most: int,
        step_tokens: int,
        draw: Draw = draw,
    ) -> None:
        self.most = most
        self._model = model
        self._draw = draw
        self._size = vocabulary_size
        self._step_tokens = step_tokens
        self._pages = Pages(model.page_count, model.page_size)
        self._followers: dict[Sequence, Follower] = {}

    def grade(self, sequence: Sequence) -> int:  # noqa: ARG002
        return LIKELY_GRADE  # more is not known before the small model has computed

    def draft(self, wishes: Iterable[Wish]) -> list[list[int]]:
        drafts = [self._begin(wish) for wish in wishes]
        going = [draft for draft in drafts if draft is not None]
        while going := self._advance(going):
            pass
        return [[] if draft is None else draft.guesses for draft in drafts]

    def forget(self, sequence: Sequence) -> None:
        if follower := self._followers.pop(sequence, None):
            self._pages.release(follower.pages)

    def check(self) -> None:
        """Prove that pages are counted exactly."""
        self._pages.check(follower.pages for follower in self._followers.values())

    def _begin(self, wish: Wish) -> Draft | None:
        """None where the small model has no room for the sequence."""
        tokens = wish.sequence.tokens
        most = min(wish.most, self._model.context_length - len(tokens) + 1)
        follower = self._followers.setdefault(wish.sequence, Follower())
        missing = self._pages.needed(len(tokens) + most - 1) - len(follower.pages)
        if most < 1 or missing > self._pages.available:
            return None
        follower.pages.extend(self._pages.take(max(0, missing)))
        follower.agree(tokens)
        return Draft(replace(wish, most=most), follower)

    def _advance(self, drafts: list[Draft]) -> list[Draft]:
        """Read what is unread, within a step's rows; guess once where all is; what goes on then."""
        left = self._step_tokens
        segments: list[Segment] = []
        ready: list[Draft] = []
        for draft in drafts:
            unread = draft.unread
            count = min(len(unread), left)
            left -= count
            if count:
                segments.append(_segment(draft.follower, unread[:count], count == len(unread)))
            if count == len(unread):
                ready.append(draft)
        if segments:
            self._guess(ready, self._model.forward(Step(tuple(segments))))
        return [draft for draft in ready if not draft.is_done]

    def _guess(self, drafts: list[Draft], logits: Tensor) -> None:
        if not drafts:
            return
        picks = [_pick(draft) for draft in drafts]
        choices = choose(self._fit(logits), picks, self._draw)
        for draft, choice in zip(drafts, choices, strict=True):
            draft.guesses += choice.ids

    def _fit(self, logits: Tensor) -> Tensor:
        """Logits of the large model's ids; vocabularies are padded to different sizes."""
        more = self._size - logits.shape[-1]
        return pad(logits, (0, more), value=float("-inf")) if more else logits


def _segment(follower: Follower, tokens: list[int], is_last: bool) -> Segment:
    start = len(follower.tokens)
    follower.tokens += tokens
    return Segment(tuple(tokens), start, tuple(follower.pages), int(is_last))


def _pick(draft: Draft) -> Pick:
    sequence = draft.wish.sequence
    return Pick.of(sequence.request, [*sequence.answer, *draft.guesses])
