"""Texts by split execution beside those of the TEE alone."""


def compare(*a: object) -> None: ...
