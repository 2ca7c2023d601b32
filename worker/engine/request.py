"""What enters the engine and what leaves it: plain values, no tensors, no wire."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from cloister.errors import CloisterError


class Finish(StrEnum):
    """Why a sequence ended; the values are OpenAI's `finish_reason`."""

    STOP = "stop"
    LENGTH = "length"


@dataclass(frozen=True, slots=True)
class Sampling:
    """How the next token is chosen.

    `temperature` 0 is greedy. `top_k` 0, `top_p` 1 and `min_p` 0 are off. The penalties are
    OpenAI's (presence, frequency: over generated tokens) and CTRL's (repetition: over prompt and
    generated tokens, 1 is off). `bias` adds to the logits of ids, behind the penalties. Equal seeds
    give equal text, whatever else runs.
    """

    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    bias: tuple[tuple[int, float], ...] = ()
    seed: int = 0

    has_penalties: bool = field(init=False, repr=False, compare=False)
    is_plain: bool = field(init=False, repr=False, compare=False)
    """Is it the most probable token that is wanted, and nothing else?"""

    def __post_init__(self) -> None:
        penalties = (self.repetition_penalty, self.presence_penalty, self.frequency_penalty)
        has_penalties = penalties != (1, 0, 0)
        is_plain = self.temperature == 0 and not has_penalties and not self.bias
        object.__setattr__(self, "has_penalties", has_penalties)  # each token asks for it
        object.__setattr__(self, "is_plain", is_plain)


class Constraint(Protocol):
    """What one sequence may say next. Used by one thread at a time."""

    @property
    def complete(self) -> bool:
        """Is all said, so that only an end could follow?"""

    @property
    def doubtful(self) -> bool:
        """Will the model's own choice perhaps not be taken, so that `allowed` is asked at once?"""

    def allowed(self) -> bytes:
        """One bit a token id, lowest bit first: may it be the next one?

        The model's end ids are allowed only where the text may end. Asked again, it answers at
        once. Raises `BadRequest` when the rules cannot be followed within their limits.
        """

    def take(self, token: int) -> bool:
        """Go on with a token if it is allowed; else nothing changes. Raises as `allowed` does.

        Much cheaper than `allowed`.
        """

    def forced(self) -> tuple[int, ...]:
        """Tokens of the text that must come next, in the usual spelling; others may be allowed.

        Empty where there is a choice. Asked again, it answers at once.
        """


class Grammar(Protocol):
    """Rules for a whole text; many sequences may follow them at once."""

    def begin(self) -> Constraint:
        """The rules at the start of a text."""


@dataclass(frozen=True, slots=True)
class Request:
    """One sequence to generate. Valid once built: `prompt` + `max_tokens` fit the context.

    Choices of one prompt hold the very same tuple, which is read once, for the first of them; if
    that one `scores_prompt`, it hears a token before the others do. The first `min_tokens` tokens
    are no stop ids, and stop strings are looked for behind them; a stop string is in the text only
    with `keeps_stop`. `logprobs` is how many
    alternatives are told with each token's log-probability, None for neither; `scores_prompt` adds
    those of the prompt. With `max_tokens` 0, a model that embeds is asked for the prompt's vector.
    `salt` parts the prefix cache: only requests of the same salt share pages.
    `prompt` and `stop` stay out of `repr`, so that no log or traceback shows them.
    """

    id: str
    prompt: tuple[int, ...] = field(repr=False)
    max_tokens: int
    sampling: Sampling = Sampling()
    stop: tuple[str, ...] = field(default=(), repr=False)
    keeps_stop: bool = False
    stop_ids: frozenset[int] = frozenset()
    min_tokens: int = 0
    logprobs: int | None = None
    scores_prompt: bool = False
    salt: str = field(default="", repr=False)
    grammar: Grammar | None = field(default=None, repr=False)

    @property
    def wants_vector(self) -> bool:
        return self.max_tokens == 0


@dataclass(frozen=True, slots=True)
class Logprob:
    """A token's log-probability in the model's own distribution, before anything of `Sampling`.

    `top` holds (id, log-probability) of the most probable tokens, best first.
    """

    value: float
    top: tuple[tuple[int, float], ...] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Token:
    """One generated token. `text` is what became certain with it, often but not always its own.

    The text of all tokens of a sequence, joined, is the answer; stop ids are not in it, nor are
    stop strings unless they are kept. `finish` is set on the last token only, `stop_string` where
    one was found. `cached` counts prompt tokens that came from the prefix cache, `generated` the
    tokens so far.

    With log-probabilities, `settled` counts the tokens, from the first one, whose text has begun to
    show in the texts so far: a token held back settles with the text, one inside a stop string or a
    stop id never. The first token brings those of the `prompt`, from its second token on.

    A request for a vector hears one event that is no token: its `vector` is set, its text empty.
    """

    id: int
    text: str = field(repr=False)
    finish: Finish | None
    generated: int
    cached: int
    logprob: Logprob | None = field(default=None, repr=False)
    settled: int = 0
    prompt: tuple[Logprob, ...] = field(default=(), repr=False)
    stop_string: str | None = field(default=None, repr=False)
    vector: tuple[float, ...] = field(default=(), repr=False)


NO_ID = -1
"""In place of a token's id where there is a vector."""

Event = Token | CloisterError
"""What a listener hears: tokens, the last one with `finish`; or one error, after which nothing."""

Listener = Callable[[Event], None]
"""Called in the engine's thread; must return at once and must not raise."""


@dataclass(frozen=True, slots=True)
class Load:
    """The engine's state in numbers, as heartbeats and metrics report it."""

    queued_requests: int
    running_requests: int
    queued_tokens: int  # prompt tokens not yet computed, waiting sequences and running ones
    running_tokens: int  # tokens that running sequences may still generate
    tokens_per_s: float  # measured over recent steps, prompt and generated; 0 before the first
    pages_used: int
    pages_total: int
    drafted_tokens: int = 0  # since the start
    accepted_tokens: int = 0  # drafted ones that were right, since the start


class Engine(Protocol):
    """What the API needs of an engine. All methods are safe to call from any thread."""

    def submit(self, request: Request, listener: Listener) -> None:
        """Queue a request. Raises `Busy` when the queue is full, `Unavailable` when closed."""

    def cancel(self, request_id: str) -> None:
        """Forget a request; its pages are free within one step. Unknown ids are no error."""

    def load(self) -> Load:
        """Numbers of this moment."""


class Vocabulary(Protocol):
    """Turns ids into text: all that the engine needs of a tokenizer."""

    def decode(self, ids: Sequence[int]) -> str:
        """The text of `ids` without special tokens; U+FFFD where bytes are not a character yet."""
