"""Which values training never sees: a stable tenth of them, chosen by hash, kept for evaluation."""

import hashlib
from collections.abc import Iterable


def reserved(skill: str, value: object) -> bool:
    """Tell whether a value of a skill is kept out of the corpus."""
    digest = hashlib.sha256(f"{skill}:{value}".lower().encode()).digest()
    return digest[0] % 10 == 0


def free(skill: str, values: Iterable[str]) -> tuple[str, ...]:
    """Return the values that the corpus may use."""
    return tuple(value for value in values if not reserved(skill, value))
