"""One request on its way through the engine: its tokens, its pages and its text."""

from collections import deque
from dataclasses import dataclass, field

from worker.engine.request import Constraint, Finish, Listener, Logprob, Request
from worker.engine.text import TextStream
from worker.engine.worth import Odds


@dataclass(slots=True, eq=False)
class Sequence:
    """A living request: no prefill or decode phase, only `computed` and `wanted` tokens."""

    request: Request
    listener: Listener = field(repr=False)
    text: TextStream = field(repr=False)
    order: int  # of arrival; a smaller one goes first and is preempted last
    tokens: list[int] = field(repr=False)  # prompt and generated ones
    answer: list[int] = field(default_factory=list, repr=False)  # the generated ones alone
    computed: int = 0  # tokens whose keys and values are in `pages`
    cached: int = 0  # prompt tokens that the prefix cache gave
    pages: list[int] = field(default_factory=list)
    digests: list[bytes] = field(default_factory=list, repr=False)  # of the known full pages
    finish: Finish | None = None
    scores: list[Logprob] = field(default_factory=list, repr=False)  # of prompt tokens 1, 2, ...
    settled: int = 0  # tokens whose text has begun to show
    odds: Odds = field(default_factory=Odds, repr=False)  # of drafted tokens
    constraint: Constraint | None = field(init=False, repr=False)
    _begins: deque[int] = field(default_factory=deque)  # of unsettled tokens, in characters

    def __post_init__(self) -> None:
        grammar = self.request.grammar
        self.constraint = None if grammar is None else grammar.begin()

    @property
    def wanted(self) -> int:
        """Tokens still to compute; after the last of them comes a new token."""
        return len(self.tokens) - self.computed

    @property
    def generated(self) -> int:
        return len(self.answer)

    @property
    def remaining(self) -> int:
        """Tokens that may still be generated."""
        return self.request.max_tokens - self.generated

    @property
    def in_prompt(self) -> bool:
        """Does a chunk of prompt (or of a preempted sequence's past) still wait?"""
        return self.wanted > 1

    @property
    def draftable(self) -> int:
        """Tokens that may be guessed for the next step: each is followed by a chosen one.

        None where the prompt is still read.
        """
        if self.wanted != 1 or self.generated == 0:
            return 0
        return self.remaining - 1

    @property
    def must_go_on(self) -> bool:
        """May the next token not be the last one?"""
        return self.generated < self.request.min_tokens

    @property
    def unscored(self) -> int:
        """Prompt tokens whose log-probabilities are asked for and not known yet."""
        scored = len(self.request.prompt) - 1 if self.request.scores_prompt else 0
        return scored - len(self.scores)

    def accept(self, token: int, *, completes: bool = False) -> str:
        """Append a chosen token, notice the end, and return the text that became certain.

        The constraint has taken it; `completes` tells that nothing but an end could follow.
        """
        begin = self.text.decoded
        certain = self._read(token, completes=completes)
        if self.request.logprobs is not None:
            self._settle(token, begin)
        return certain

    def _read(self, token: int, *, completes: bool) -> str:
        may_stop = not self.must_go_on
        self.tokens.append(token)
        self.answer.append(token)
        if token in self.request.stop_ids:
            self.finish = Finish.STOP
            return self.text.end()
        certain = self.text.push(token, may_stop=may_stop)
        if self.text.stopped:
            self.finish = Finish.STOP
        elif completes:
            self.finish = Finish.STOP
            certain += self.text.end()
        elif self.remaining == 0:
            self.finish = Finish.LENGTH
            certain += self.text.end()
        return certain

    def _settle(self, token: int, begin: int) -> None:
        """Settle all whose text shows; at the end also those of no text, unless it was cut."""
        if token not in self.request.stop_ids:
            self._begins.append(begin)
        at_end = self.finish is not None and not self.text.stopped
        while self._begins and (at_end or self._begins[0] < self.text.released):
            self._begins.popleft()
            self.settled += 1
