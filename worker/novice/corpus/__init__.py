"""The made-up corpus novice learns from; one module per skill, `mix.py` puts them together."""

from worker.novice.corpus.mix import conversations, lessons

__all__ = ["conversations", "lessons"]
