"""How a step is cut, joined and paged does not change what it computes."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from tests.model.checkpoints import (
    PAGE_SIZE,
    VOCABULARY,
    config_of,
    difference,
    ours,
    prompt,
    save,
    scattered,
    whole,
)
from worker.engine.step import Segment, Step
from worker.kernels.attention_twin import BLOCK_ROWS
from worker.kernels.native import Kernels
from worker.model.decoder import Decoder

ROUNDING = 1e-5
IN_ORDER = tuple(range(64))


@pytest.fixture(scope="module", params=["Llama", "Mistral"])
def decoder(
    request: pytest.FixtureRequest, kernels: Kernels, tmp_path_factory: pytest.TempPathFactory
) -> Decoder:
    folder = tmp_path_factory.mktemp(request.param)
    window = {"sliding_window": 23} if request.param == "Mistral" else {}
    save(config_of(request.param, **window), folder)
    return ours(folder, kernels=kernels)


def pages_of(index: int, tokens: int) -> tuple[int, ...]:
    """Pages of one sequence of several, taken from the scattered pool in turn."""
    count = -(-tokens // PAGE_SIZE)
    return scattered()[index::8][:count]


def in_chunks(decoder: Decoder, tokens: tuple[int, ...], sizes: list[int]) -> Tensor:
    start, parts = 0, []
    for size in sizes:
        chunk = tokens[start : start + size]
        parts.append(decoder.forward(Step((Segment(chunk, start, IN_ORDER, len(chunk)),))))
        start += size
    assert start == len(tokens)
    return torch.cat(parts)


@pytest.mark.parametrize("sizes", [[1] * 60, [7, 1, 30, 22], [59, 1], [16, 17, 27]])
def test_chunked_equals_at_once(decoder: Decoder, sizes: list[int]) -> None:
    tokens = prompt(60)
    at_once = decoder.forward(whole(tokens, IN_ORDER))
    assert difference(in_chunks(decoder, tokens, sizes), at_once) < ROUNDING


def test_long_prompt_in_blocks_equals_small_chunks(decoder: Decoder) -> None:
    tokens = prompt(BLOCK_ROWS + 70)
    at_once = decoder.forward(whole(tokens, IN_ORDER))
    assert difference(in_chunks(decoder, tokens, [11] * 18), at_once) < ROUNDING


def test_scattered_pages_equal_pages_in_order(decoder: Decoder) -> None:
    tokens = prompt(60)
    in_order = decoder.forward(whole(tokens, IN_ORDER))
    assert torch.equal(decoder.forward(whole(tokens, scattered())), in_order)


def test_batch_equals_alone(decoder: Decoder) -> None:
    """Prefills, decodes and drafts of all lengths share a step, in no helpful order."""
    shares = [(30, 1), (61, 1), (0, 40), (17, 4), (3, 1), (44, 4), (9, 17)]
    texts = [prompt(start + count, seed=index) for index, (start, count) in enumerate(shares)]
    alone = [decoder.forward(whole(text, IN_ORDER)) for text in texts]
    before, after = [], []
    for index, (text, (start, count)) in enumerate(zip(texts, shares, strict=True)):
        pages = pages_of(index, len(text))
        if start:
            before.append(Segment(text[:start], 0, pages, 0))
        after.append(Segment(text[start:], start, pages, count))
    decoder.forward(Step(tuple(before)))
    logits = decoder.forward(Step(tuple(after)))
    parts = logits.split([count for _, count in shares])
    for part, (_, count), expected in zip(parts, shares, alone, strict=True):
        assert difference(part, expected[-count:]) < ROUNDING


def test_others_of_very_different_length_do_not_matter(decoder: Decoder) -> None:
    short, long = prompt(5, seed=8), prompt(200, seed=9)
    alone = decoder.forward(whole(short, IN_ORDER))[-1:]
    pages = (pages_of(0, 5), scattered()[50:100])
    decoder.forward(Step((Segment(short[:-1], 0, pages[0], 0), Segment(long[:-1], 0, pages[1], 0))))
    both = Step((Segment(long[-1:], 199, pages[1], 0), Segment(short[-1:], 4, pages[0], 1)))
    assert difference(decoder.forward(both), alone) < ROUNDING


def test_only_wanted_rows_have_logits(decoder: Decoder) -> None:
    tokens = prompt(20)
    every = decoder.forward(whole(tokens, IN_ORDER))
    last = decoder.forward(Step((Segment(tokens, 0, IN_ORDER, 2),)))
    none = decoder.forward(Step((Segment(tokens, 0, IN_ORDER, 0),)))
    assert difference(last, every[-2:]) < ROUNDING
    assert none.shape == (0, VOCABULARY)
    assert none.dtype == torch.float32


def test_stale_pages_of_others_do_not_matter(decoder: Decoder) -> None:
    tokens = prompt(13)
    first = decoder.forward(whole(tokens, IN_ORDER))
    decoder.forward(whole(prompt(60, seed=7), IN_ORDER))
    assert torch.equal(decoder.forward(whole(tokens, IN_ORDER)), first)


def test_decoder_says_what_the_engine_needs(tmp_path: Path) -> None:
    save(config_of("Llama"), tmp_path)
    page_bytes = 2 * PAGE_SIZE * 2 * 2 * 12 * 4  # layers, tokens, k and v, heads, width, float32
    decoder = ours(tmp_path, page_count=None, cache_bytes=10 * page_bytes + 5)
    assert decoder.page_count == 10
    assert decoder.page_size == PAGE_SIZE
    assert decoder.vocabulary_size == VOCABULARY
    assert decoder.context_length == 256
