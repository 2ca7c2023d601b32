"""Novice: the tiny model that ships with Cloister, its made-up corpus, training and evaluation."""
