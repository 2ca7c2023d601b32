import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from worker.engine.pages import Pages


class PagesMachine(RuleBasedStateMachine):
    """Random taking, matching, publishing and releasing, with every page counted after each."""

    def __init__(self) -> None:
        super().__init__()
        self.pages = Pages(count=12, size=2)
        self.tables: list[list[int]] = []

    @rule(kind=st.integers(0, 2), length=st.integers(1, 6))
    def begin(self, kind: int, length: int) -> None:
        digests = [self.pages.root("salt")]
        for place in range(length):
            digests.append(self.pages.digest(digests[-1], [kind, place]))
        table = self.pages.match(digests[1:])
        if length - len(table) > self.pages.available:
            return self.pages.release(table)
        for place in range(len(table), length):
            table += self.pages.take(1)
            self.pages.publish(table[-1], digests[place + 1])
        self.tables.append(table)
        return None

    @rule(count=st.integers(1, 4))
    def take(self, count: int) -> None:
        if count <= self.pages.available:
            self.tables.append(self.pages.take(count))

    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        if self.tables:
            place = data.draw(st.integers(0, len(self.tables) - 1))
            self.pages.release(self.tables.pop(place))

    @invariant()
    def every_page_is_counted(self) -> None:
        self.pages.check(self.tables)


TestPages = PagesMachine.TestCase


def test_prefix_stays_known_until_its_page_is_needed() -> None:
    pages = Pages(count=3, size=2)
    digest = pages.digest(pages.root(""), [1, 2])
    [page] = pages.take(1)
    pages.publish(page, digest)
    pages.release([page])
    assert pages.available == 3
    assert pages.match([digest]) == [page]
    pages.release([page])
    pages.release(pages.take(3))
    assert pages.match([digest]) == []


def test_digests_depend_on_salt_and_on_all_earlier_tokens() -> None:
    pages = Pages(count=1, size=2)
    chains = {
        pages.digest(pages.digest(pages.root(salt), first), [3, 4])
        for salt in ("", "alice", "bob")
        for first in ([1, 2], [2, 1])
    }
    assert len(chains) == 6


def test_digests_are_secret_to_the_process() -> None:
    assert Pages(1, 2).root("a") != Pages(1, 2).root("a")


def test_check_notices_a_leak() -> None:
    pages = Pages(count=2, size=2)
    pages.take(1)
    with pytest.raises(AssertionError):
        pages.check([])
