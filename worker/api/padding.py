"""Hides the length of a streamed token: OpenAI's `obfuscation`."""

import secrets

SMALLEST_BYTES = 128  # a choice with a common token and without log-probabilities fits in it


def padding(size_bytes: int) -> str:
    """Random characters that fill `size_bytes` up to 128, 256, 512, ... bytes."""
    bucket = SMALLEST_BYTES
    while bucket < size_bytes:
        bucket *= 2
    missing = bucket - size_bytes
    return secrets.token_hex((missing + 1) // 2)[:missing]
