"""What the scheduler tells the model to compute, as plain values that can cross a network."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Segment:
    """One sequence's part of a step: `tokens` go to positions `start`, `start + 1`, ...

    `pages` are the sequence's pages in order and hold at least `start + len(tokens)` tokens; what
    stands before `start` is in the cache already. `logits` is how many of the last rows the caller
    wants logits for: 0 inside a prompt, 1 at its end and in decoding.
    """

    tokens: tuple[int, ...] = field(repr=False)
    start: int
    pages: tuple[int, ...]
    logits: int


@dataclass(frozen=True, slots=True)
class Step:
    """All that one forward pass computes. Sequences in different states share a step."""

    segments: tuple[Segment, ...]

    @property
    def rows(self) -> int:
        return sum(len(segment.tokens) for segment in self.segments)
