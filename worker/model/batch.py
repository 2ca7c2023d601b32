"""Lays a step out for the tensors: which rows stand where, and who attends to what.

Made once per step and used by every layer. Rows are reordered so that sequences which attend
together stand together; `wanted` undoes that for the logits.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from worker.engine.step import Segment, Step

BLOCK_ROWS = 128
"""Longer segments attend in blocks of so many rows: each sees only keys up to its own end, which
saves nearly half of a prefill's products, and masks stay small."""

JOINED_ROWS = 16
"""Blocks of at most so many rows attend together with others of the same row count."""

PADDING_RATIO = 1.5
PADDING_KEYS = 64
"""Sequences attend together while the longest has at most ratio * shortest + keys."""


@dataclass(frozen=True, slots=True)
class Block:
    """Consecutive rows of one segment: `rows` tokens from position `start` on."""

    segment: int
    start: int
    rows: int

    @property
    def end(self) -> int:
        return self.start + self.rows


@dataclass(frozen=True, slots=True)
class Span:
    """Sequences that attend together, with equally many rows each.

    `pages` are theirs, padded to equal number, `[sequences * pages each]`. `mask` is added to the
    scores, `[sequences, 1, rows of one * group, keys]` (or 1 for one row). Keys are those of whole
    pages, and there is always a mask: sums over keys are then rounded alike, nearly always, however
    many rows a sequence has, so that drafts do not change what a bf16 model says.
    """

    first_row: int
    sequences: int
    rows: int  # of one sequence
    pages: Tensor
    mask: Tensor


@dataclass(frozen=True, slots=True)
class Batch:
    """A step, ready for the layers."""

    tokens: Tensor  # [rows] int64
    positions: Tensor  # [rows] int64
    slots: Tensor  # [rows] int64, page * page_size + offset
    wanted: Tensor  # [wanted rows] int64, in the step's order
    spans: dict[int | None, tuple[Span, ...]]  # by sliding window

    def pieces(self, rows: int) -> "Iterator[Piece]":
        """Its rows in pieces of whole spans: of `rows` at most, unless one span has more.

        A row's own sequence is in its piece or in those before it, as far as it may see.
        """
        counts = [span.sequences * span.rows for span in next(iter(self.spans.values()))]
        first = first_row = 0
        for last, end_row in _ends(counts, rows):
            spans = {
                window: tuple(_shifted(span, first_row) for span in each[first:last])
                for window, each in self.spans.items()
            }
            own = slice(first_row, end_row)
            yield Piece(own, self.positions[own], self.slots[own], spans)
            first, first_row = last, end_row


@dataclass(frozen=True, slots=True)
class Piece:
    """Consecutive `rows` of a batch that go through the layers together; spans count from 0."""

    rows: slice
    positions: Tensor
    slots: Tensor
    spans: dict[int | None, tuple[Span, ...]]


@dataclass(frozen=True, slots=True)
class Layout:
    """What the model asks of every batch.

    `group` is how many query heads share a key head, `windows` the sliding windows that occur.
    """

    page_size: int
    group: int
    windows: frozenset[int | None]
    dtype: torch.dtype


def lay_out(step: Step, layout: Layout) -> Batch:
    """Turn a step into index tensors and masks."""
    groups = _groups(step)
    blocks = [block for group in groups for block in group]
    columns = [column for block in blocks for column in _columns(step, block, layout.page_size)]
    tokens, positions, slots = (
        torch.tensor(columns, dtype=torch.int64).reshape(-1, 3).T.contiguous()
    )
    return Batch(
        tokens=tokens,
        positions=positions,
        slots=slots,
        wanted=torch.tensor(_wanted(step, blocks), dtype=torch.int64),
        spans={window: tuple(_spans(step, groups, layout, window)) for window in layout.windows},
    )


def _ends(counts: Sequence[int], most: int) -> Iterator[tuple[int, int]]:
    """Where pieces end: (spans, rows) so far."""
    rows = begun = 0
    for index, count in enumerate(counts):
        if rows > begun and rows + count - begun > most:
            yield index, rows
            begun = rows
        rows += count
    yield len(counts), rows


def _shifted(span: Span, by: int) -> Span:
    return replace(span, first_row=span.first_row - by)


def _groups(step: Step) -> list[list[Block]]:
    """Cut segments into blocks, and join short blocks of equal rows and similar length.

    Long blocks come first, so that a segment's last one, which may be short, comes last.
    """
    groups: list[list[Block]] = []
    for block in sorted(_blocks(step), key=lambda block: (-block.rows, block.end)):
        if groups and _fits(groups[-1][0], block):
            groups[-1].append(block)
        else:
            groups.append([block])
    return groups


def _blocks(step: Step) -> Iterator[Block]:
    for index, segment in enumerate(step.segments):
        count = len(segment.tokens)
        for offset in range(0, count, BLOCK_ROWS):
            yield Block(index, segment.start + offset, min(BLOCK_ROWS, count - offset))


def _fits(shortest: Block, block: Block) -> bool:
    return (
        block.rows == shortest.rows <= JOINED_ROWS
        and block.end <= PADDING_RATIO * shortest.end + PADDING_KEYS
    )


def _columns(step: Step, block: Block, page_size: int) -> Iterator[tuple[int, int, int]]:
    """(token, position, slot) of each row."""
    segment = step.segments[block.segment]
    for position in range(block.start, block.end):
        page, offset = divmod(position, page_size)
        token = segment.tokens[position - segment.start]
        yield token, position, segment.pages[page] * page_size + offset


def _wanted(step: Step, blocks: Sequence[Block]) -> list[int]:
    """The row of each wanted logit, in the step's order."""
    row_of: dict[tuple[int, int], int] = {}
    row = 0
    for block in blocks:
        for position in range(block.start, block.end):
            row_of[block.segment, position] = row
            row += 1
    return [
        row_of[index, position]
        for index, segment in enumerate(step.segments)
        for position in _wanted_positions(segment)
    ]


def _wanted_positions(segment: Segment) -> range:
    end = segment.start + len(segment.tokens)
    return range(end - segment.logits, end)


def _spans(
    step: Step, groups: Sequence[Sequence[Block]], layout: Layout, window: int | None
) -> Iterator[Span]:
    first_row = 0
    for group in groups:
        yield _span(step, group, first_row, layout, window)
        first_row += len(group) * group[0].rows


def _span(
    step: Step, blocks: Sequence[Block], first_row: int, layout: Layout, window: int | None
) -> Span:
    size = layout.page_size
    firsts = [_first_visible(block, window) // size for block in blocks]
    lasts = [(block.end - 1) // size for block in blocks]
    count = max(last - first + 1 for first, last in zip(firsts, lasts, strict=True))
    pages = [
        step.segments[block.segment].pages[min(page, last)]  # padding repeats the own last page
        for block, first, last in zip(blocks, firsts, lasts, strict=True)
        for page in range(first, first + count)
    ]
    starts = [block.start - first * size for block, first in zip(blocks, firsts, strict=True)]
    rows = blocks[0].rows
    mask = _mask(starts, rows, count * size, layout, window)
    return Span(first_row, len(blocks), rows, torch.tensor(pages), mask)


def _first_visible(block: Block, window: int | None) -> int:
    return 0 if window is None else max(0, block.start - window + 1)


def _mask(
    starts: Sequence[int], rows: int, keys: int, layout: Layout, window: int | None
) -> Tensor:
    """0 where a row sees a key, -inf where not; `starts` are first rows among gathered keys."""
    last = torch.tensor(starts).view(-1, 1, 1) + torch.arange(rows).view(1, -1, 1)
    key = torch.arange(keys)
    hidden = key > last  # [sequences, rows, keys]
    if window is not None:
        hidden |= key <= last - window
    mask = torch.zeros(hidden.shape, dtype=layout.dtype).masked_fill_(hidden, float("-inf"))
    folded = mask if rows == 1 else mask.repeat_interleave(layout.group, 1)
    return folded.unsqueeze(1)
