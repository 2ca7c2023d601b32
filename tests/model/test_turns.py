"""Pieces of a step that take turns."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
import torch
from torch import Tensor

from worker.model.turns import Flow, in_turn


@dataclass
class Answer:
    """Notes when it is waited for."""

    name: str
    log: list[str]
    fails: bool = False
    abandoned: bool = False

    def result(self) -> Tensor:
        self.log.append(f"await {self.name}")
        if self.fails:
            raise ConnectionError
        return torch.zeros(1)

    def abandon(self) -> None:
        self.abandoned = True


@dataclass
class Pieces:
    """Flows of two results each."""

    failing: str = ""
    log: list[str] = field(default_factory=list)
    answers: dict[str, Answer] = field(default_factory=dict)

    def flows(self, names: str) -> Iterator[Flow]:
        return (self.flow(name) for name in names)

    def flow(self, name: str) -> Flow:
        for turn in "12":
            answer = self.answers[name + turn] = Answer(
                name + turn, self.log, name + turn == self.failing
            )
            self.log.append(f"submit {name}{turn}")
            yield answer


def test_the_next_piece_is_under_way_while_one_is_waited_for() -> None:
    pieces = Pieces()
    in_turn(pieces.flows("ab"), 2)
    assert pieces.log[:4] == ["submit a1", "submit b1", "await a1", "submit a2"]
    assert pieces.log[4:] == ["await b1", "submit b2", "await a2", "await b2"]


def test_one_at_once_is_one_after_the_other() -> None:
    pieces = Pieces()
    in_turn(pieces.flows("ab"), 1)
    assert pieces.log == [
        f"{do} {name}{turn}" for name in "ab" for turn in "12" for do in ("submit", "await")
    ]


@pytest.mark.parametrize("at_once", [1, 2, 3, 9])
def test_none_gets_ahead_of_those_before_it(at_once: int) -> None:
    pieces = Pieces()
    in_turn(pieces.flows("abcde"), at_once)
    for turn in "12":
        awaited = [one for one in pieces.log if one.startswith("await") and one.endswith(turn)]
        assert awaited == [f"await {name}{turn}" for name in "abcde"]


def test_what_is_under_way_is_abandoned_when_one_fails() -> None:
    pieces = Pieces(failing="a2")
    with pytest.raises(ConnectionError):
        in_turn(pieces.flows("abc"), 2)
    assert pieces.answers["b2"].abandoned
    assert "c1" not in pieces.answers


def test_what_is_under_way_is_abandoned_when_another_cannot_begin() -> None:
    pieces = Pieces()

    def broken() -> Flow:
        raise ConnectionError
        yield pieces.answers["a1"]

    def flows() -> Iterator[Flow]:
        yield pieces.flow("a")
        yield broken()

    with pytest.raises(ConnectionError):
        in_turn(flows(), 2)
    assert pieces.answers["a1"].abandoned
