"""Ends a thought that has got as many tokens as its request allows: what follows is forced.

It watches the text for the same marks as `worker.api.thinking`, in the engine, token by token.
"""

from collections import deque

from worker.api.parts import overlap
from worker.api.thinking import CLOSE, OPEN
from worker.api.tokenizer import Tokenizer

BEFORE, BEHIND = "\n", "\n\n"
"""What models write around the end of a thought."""


class ThoughtBudget:
    """At most `tokens` of a thought, its marks not counted.

    Satisfies `worker.engine.request.Grammar`; `thinking` says that the prompt began the thought.
    """

    def __init__(
        self, tokens: int, tokenizer: Tokenizer, vocabulary_size: int, *, thinking: bool
    ) -> None:
        self.tokens = tokens
        self.tokenizer = tokenizer
        self.size_bytes = -(-max(tokenizer.size, vocabulary_size) // 8)
        self.thinking = thinking

    def begin(self) -> "Thought":
        return Thought(self)


class Thought:
    """One sequence's thought. Satisfies `worker.engine.request.Constraint`: it bars nothing, but
    where the budget is spent all tokens except the next one of the closing mark.
    """

    complete = False

    def __init__(self, budget: ThoughtBudget) -> None:
        self._budget = budget
        self._free = b"\xff" * budget.size_bytes
        self._state = "start"
        self._text = ""
        self._left = budget.tokens
        self._forced: deque[int] = deque()
        if budget.thinking:
            self._enter()

    @property
    def doubtful(self) -> bool:
        return bool(self._forced)

    def allowed(self) -> bytes:
        if not self._forced:
            return self._free
        place, bit = divmod(self._forced[0], 8)
        return bytes(place) + bytes([1 << bit]) + bytes(len(self._free) - place - 1)

    def take(self, token: int) -> bool:
        if self._forced:
            if token != self._forced[0]:
                return False
            self._forced.popleft()
        elif self._state != "after":
            self._watch(token)
        return True

    def forced(self) -> tuple[int, ...]:
        return tuple(self._forced)

    def _watch(self, token: int) -> None:
        self._text += self._budget.tokenizer.decode([token])
        if self._state == "start":
            self._start()
        else:
            self._inside()

    def _start(self) -> None:
        """A thought stands at the answer's start only."""
        text = self._text.lstrip()
        if text.startswith(OPEN):
            self._enter()
        elif not OPEN.startswith(text):
            self._state = "after"

    def _enter(self) -> None:
        self._state, self._text = "inside", ""
        self._close_if_spent()

    def _inside(self) -> None:
        if CLOSE in self._text:
            self._state = "after"
            return
        self._text = self._text[-len(CLOSE) :]
        self._left -= 1
        self._close_if_spent()

    def _close_if_spent(self) -> None:
        """A mark that the model has begun is only completed."""
        if self._left > 0:
            return
        begun = overlap(self._text, CLOSE)
        mark = CLOSE[begun:] if begun else BEFORE + CLOSE
        ids = self._budget.tokenizer.encode(mark + BEHIND, add_special_tokens=False)
        self._state, self._forced = "after", deque(ids)
