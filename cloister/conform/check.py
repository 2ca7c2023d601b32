"""A check: what is claimed of a server, the function that finds out, and what it can come to.

A check that returns has passed. One about something optional skips when the server refuses it in
plain words, since a refusal is honest; dropping a field in silence is a fault.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Literal

from cloister.conform.server import Server

Status = Literal["pass", "fail", "warn", "skip"]
Function = Callable[[Server], Awaitable[None]]


class Finding(Exception):
    """What keeps a check from passing. `why` never repeats what a model said."""

    status: Status = "fail"

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


class Fault(Finding):
    """Clients stumble over this."""


class Doubt(Finding):
    """Allowed, but clients are better served otherwise."""

    status = "warn"


class Skip(Finding):
    """Cannot be found out here, or is not offered."""

    status = "skip"


@dataclass(frozen=True, slots=True)
class Check:
    """`id` is `group.name`; `claim` says what holds if it passes."""

    id: str
    claim: str
    run: Function


class Suite:
    """The checks of one group, in the order in which they are written."""

    def __init__(self, group: str) -> None:
        self.group = group
        self.checks: list[Check] = []

    def check(self, claim: str) -> Callable[[Function], Function]:
        """Add a function under its own name."""

        def add(function: Function) -> Function:
            self.checks.append(Check(f"{self.group}.{function.__name__}", claim, function))
            return function

        return add


def expect(holds: object, why: str) -> None:
    """Raises `Fault` with `why` unless it holds."""
    if not holds:
        raise Fault(why)
