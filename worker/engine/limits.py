"""The bounds within which the engine works."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """`step_tokens` rows are computed in one step at most, by `sequences` sequences at most.

    A waiting request is refused when `queued_requests` wait already, or when their prompts hold
    `queued_tokens` tokens.
    """

    step_tokens: int = 512
    sequences: int = 64
    queued_requests: int = 256
    queued_tokens: int = 262_144

    def __post_init__(self) -> None:
        assert self.step_tokens >= self.sequences > 0, "each running sequence needs a row"
