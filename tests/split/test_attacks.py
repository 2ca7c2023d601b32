"""Why there is no cheaper mode than blind: attacks that read simpler disguises, and not blind.

The attacker is the GPU's host. It knows the model, so it knows which rows a prompt may begin with:
the normalised embedding of each token. It sees one disguised row for each secret token. Everything
here is a toy in size; the attacks are linear in it.
"""

from collections.abc import Callable
from itertools import permutations

import numpy as np
import pytest
import torch

from worker.execution.split.arithmetic import Ring
from worker.execution.split.masks import LocalPool
from worker.execution.split.products import KINDS
from worker.execution.split.sites import SiteId, to_int8
from worker.execution.split.stream import MaskStream
from worker.kernels.masking import find_masking

Rows = np.ndarray
Disguise = Callable[[Rows, np.random.Generator], Rows]
Attack = Callable[[Rows, Rows], Rows]
"""From what is seen [rows, width] and the known rows [tokens, width] to a token for each row."""

TOKENS, WIDTH, LENGTH = 600, 256, 32
PRIME = 2**24 - 3
SMALL = 100  # fixed-point values of a query are below it


@pytest.fixture
def random() -> np.random.Generator:
    return np.random.default_rng(5)


def known_rows(random: np.random.Generator) -> Rows:
    """Normalised embeddings; token 0 begins every prompt."""
    rows = random.standard_normal((TOKENS, WIDTH))
    return rows / np.sqrt((rows**2).mean(1, keepdims=True))


def permuted(rows: Rows, random: np.random.Generator) -> Rows:
    """One secret permutation of channels."""
    return rows[:, random.permutation(rows.shape[1])]


def float_masked(rows: Rows, random: np.random.Generator) -> Rows:
    """A fresh normal mask for each row, as a "one-time pad" in floating point."""
    return rows + random.standard_normal(rows.shape)


def mixed_alone(rows: Rows, random: np.random.Generator) -> Rows:
    """Fresh random mixing of the tokens of a step, where a decoding step has one token."""
    return np.stack([random.standard_normal() * row for row in rows])


def scaled_with_a_secret_direction(rows: Rows, random: np.random.Generator) -> Rows:
    """Each row scaled, plus a multiple of one secret combination of all of them."""
    secret = random.standard_normal(len(rows)) @ rows
    scales, shares = random.standard_normal((2, len(rows), 1))
    return scales * rows + shares * secret


def blind(rows: Rows, random: np.random.Generator) -> Rows:
    """What split execution sends, as signed numbers."""
    matrix = torch.from_numpy(random.standard_normal((8, rows.shape[1]))).float()
    weight, pool = to_int8(matrix), LocalPool(2**24, "wait", MaskStream())
    ring = Ring(SiteId(0, "qkv"), weight, KINDS["int8"](weight.values), pool, find_masking())
    payload = ring.prepare(torch.from_numpy(rows).float(), to_send=True).payload
    return np.frombuffer(payload, np.int32).reshape(rows.shape).astype(np.float64)


def by_sorted_values(seen: Rows, known: Rows) -> Rows:
    """A permutation leaves the values of a row as they are."""
    distances = np.sort(seen)[:, None] - np.sort(known)[None]
    return (distances**2).sum(2).argmin(1)


def by_correlation(seen: Rows, known: Rows) -> Rows:
    """Noise adds up like a square root, what it hides adds up linearly."""
    return np.abs(unit(seen) @ unit(known).T).argmax(1)


def by_removing_the_secret_direction(seen: Rows, known: Rows) -> Rows:
    """The row of the known first token and its embedding span the secret direction."""
    basis, _ = np.linalg.qr(np.stack([seen[0], known[0]]).T)
    rest = [rows - rows @ basis @ basis.T for rows in (seen, known)]
    found = by_correlation(rest[0], rest[1])
    found[0] = 0
    return found


def unit(rows: Rows) -> Rows:
    return rows / (np.linalg.norm(rows, axis=1, keepdims=True) + 1e-9)


PAIRS: dict[str, tuple[Disguise, Attack]] = {
    "channel permutation": (permuted, by_sorted_values),
    "float masks": (float_masked, by_correlation),
    "mixing of one token": (mixed_alone, by_correlation),
    "secret direction": (scaled_with_a_secret_direction, by_removing_the_secret_direction),
}


@pytest.mark.parametrize("name", PAIRS)
def test_attack_reads_the_disguise_and_not_blind(name: str, random: np.random.Generator) -> None:
    disguise, attack = PAIRS[name]
    known = known_rows(random)
    secret = np.concatenate([[0], random.integers(1, TOKENS, LENGTH - 1)])
    assert (attack(disguise(known[secret], random), known) == secret).mean() > 0.95
    guesses = attack(blind(known[secret], random), known)
    assert (guesses == secret)[1:].mean() < 0.2  # by chance 1 in 600


def outsourced(queries: Rows, random: np.random.Generator) -> Rows:
    """Masked queries q + r and scaled masks a r, shuffled: so that a GPU may multiply q with k."""
    masks = random.integers(0, PRIME, queries.shape)
    scalar = int(random.integers(1, PRIME))
    rows = np.concatenate([(queries + masks) % PRIME, scalar * masks % PRIME])
    return rows[random.permutation(len(rows))]


def solve_for_the_scalar(seen: Rows) -> int | None:
    """1 / a: guess one small coordinate of one query, then ask five more whether it fits."""
    guesses = np.arange(-SMALL, SMALL + 1)
    for u, v in permutations(seen, 2):
        inverses = (u[0] - guesses) * pow(int(v[0]), -1, PRIME) % PRIME
        rest = centred(u[1:6, None] - inverses * v[1:6, None])
        if (fits := (np.abs(rest) <= SMALL).all(0)).any():
            return int(inverses[fits.argmax()])
    return None


def centred(values: Rows) -> Rows:
    """Residues nearest to zero."""
    return (values + PRIME // 2) % PRIME - PRIME // 2


def read_queries(seen: Rows, inverse: int) -> set[bytes]:
    """All rows that pair up to something small."""
    pairs = (centred(u - inverse * v) for u, v in permutations(seen, 2))
    return {pair.tobytes() for pair in pairs if (np.abs(pair) <= SMALL).all()}


def test_outsourced_attention_is_read_row_by_row(random: np.random.Generator) -> None:
    queries = random.integers(-SMALL, SMALL + 1, (24, 16))
    seen = outsourced(queries, random)
    inverse = solve_for_the_scalar(seen)
    assert inverse is not None
    assert read_queries(seen, inverse) == {query.tobytes() for query in queries}


def test_blind_rows_have_no_such_scalar(random: np.random.Generator) -> None:
    queries = random.integers(-SMALL, SMALL + 1, (24, 16))
    seen = blind(queries.astype(np.float64), random).astype(np.int64) % PRIME
    assert solve_for_the_scalar(seen) is None
