"""What a GPU's host sees in blind mode is uniform and tells nothing of what is multiplied."""

from pathlib import Path

import numpy as np
import pytest

from tests.model.checkpoints import prompt, scattered, whole
from tests.split.machines import Meddler, pool, split, to
from tests.split.test_masks import chi_square
from worker.execution.split.masks import MaskSource, NoMasks
from worker.gpu.server import Server


def transcript(
    folder: Path, server: Server, tokens: tuple[int, ...], masks: MaskSource | None = None
) -> list[np.ndarray]:
    """All that is sent for one step, as 32-bit words, call by call."""
    wires: list[Meddler] = []

    def noting() -> Meddler:
        wires.append(Meddler(to(server)()))
        return wires[-1]

    with split(folder, noting, masks=masks or pool()) as (decoder, _):
        decoder.forward(whole(tokens, scattered()))
    return [np.frombuffer(payload, np.uint32) for _, payload in wires[0].seen[1:]]


@pytest.mark.parametrize(
    "tokens", [prompt(100), (7,) * 100], ids=["random tokens", "one token again and again"]
)
def test_every_byte_is_uniform(folder: Path, server: Server, tokens: tuple[int, ...]) -> None:
    words = np.concatenate(transcript(folder, server, tokens))
    for byte in range(4):
        counts = np.bincount((words >> (8 * byte)) & 255, minlength=256)
        assert chi_square(counts) < 450  # 255 degrees of freedom: beyond it once in 10^12
    assert len(np.unique(words)) > 0.999 * len(words)


def test_without_masks_the_same_test_sees_the_text(folder: Path, server: Server) -> None:
    words = np.concatenate(transcript(folder, server, prompt(100), NoMasks()))
    assert chi_square(np.bincount(words >> 24, minlength=256)) > 10_000


def test_equal_steps_look_different_and_are_not_correlated(folder: Path, server: Server) -> None:
    plain = transcript(folder, server, prompt(100), NoMasks())
    blind = [transcript(folder, server, prompt(100)) for _ in range(2)]
    for secret, one, other in zip(plain, *blind, strict=True):
        assert not (one == other).mean() > 1e-3
        assert abs(correlation(one, other)) < 6 / np.sqrt(len(one))
        assert abs(correlation(secret, one)) < 6 / np.sqrt(len(one))


def test_sizes_do_not_depend_on_the_text(folder: Path, server: Server) -> None:
    sizes = [
        [len(words) for words in transcript(folder, server, tokens)]
        for tokens in (prompt(50), (3,) * 50)
    ]
    assert sizes[0] == sizes[1]


def correlation(one: np.ndarray, other: np.ndarray) -> float:
    signed = [words.view(np.int32).astype(np.float64) for words in (one, other)]
    return float(np.corrcoef(*signed)[0, 1])
