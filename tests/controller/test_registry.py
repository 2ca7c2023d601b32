"""Who is in the fleet, and who answers soonest; time is a number that the tests turn."""

import pytest

from cloister.errors import NotFound
from cloister.fleet import Beat, Join, Leave, WorkerState
from controller.registry import Member, NoWorker, Registry
from tests.controller.conftest import MODEL, state


class Fleet:
    """A registry with a beat a second and a clock that stands."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.registry = Registry(1.0, lambda: self.now)

    def join(self, url: str, worker_state: WorkerState | None = None) -> str:
        return self.registry.join(Join(url=url, state=worker_state or state())).member

    def beat(self, member: str, worker_state: WorkerState | None = None) -> None:
        self.registry.beat(Beat(member=member, state=worker_state or state()))

    def picked(self, tokens: int = 1, model: str = MODEL) -> str:
        member = self.registry.pick(model, tokens)
        assert member is not None
        return member.url

    def member(self, member: str) -> Member:
        return next(one for one in self.registry.members() if one.id == member)


@pytest.fixture
def fleet() -> Fleet:
    return Fleet()


def test_worker_of_least_expected_wait_is_picked(fleet: Fleet) -> None:
    fleet.join("http://slow", state(queued_tokens=100, tokens_per_s=10.0))
    fleet.join("http://fast", state(queued_tokens=300, running_tokens=200, tokens_per_s=100.0))
    assert fleet.picked() == "http://fast"
    assert fleet.registry.wait_s(MODEL) == pytest.approx(5.01)


def test_unmeasured_worker_counts_as_a_usual_one(fleet: Fleet) -> None:
    fleet.join("http://measured", state(queued_tokens=1000, tokens_per_s=100.0))
    fleet.join("http://new", state(queued_tokens=900))
    assert fleet.picked(200) == "http://new"
    assert fleet.picked(200) == "http://measured"


def test_what_was_sent_since_the_last_beat_counts(fleet: Fleet) -> None:
    first = fleet.join("http://a", state(tokens_per_s=10.0))
    fleet.join("http://b", state(tokens_per_s=10.0))
    assert [fleet.picked(100), fleet.picked(10), fleet.picked(10)] == [
        "http://a",
        "http://b",
        "http://b",
    ]
    fleet.beat(first, state(tokens_per_s=10.0))
    assert fleet.picked() == "http://a"


def test_idle_workers_take_turns(fleet: Fleet) -> None:
    members = [fleet.join(f"http://{name}") for name in "abc"]
    picked = []
    for _ in range(6):
        picked.append(fleet.picked())
        for member in members:
            fleet.beat(member)
    assert sorted(picked[:3]) == ["http://a", "http://b", "http://c"]
    assert picked[3:] == picked[:3]


def test_three_missed_beats_expire_a_worker(fleet: Fleet) -> None:
    member = fleet.join("http://a")
    fleet.now += 2.9
    fleet.beat(member)
    fleet.now += 3.4
    assert len(fleet.registry.members()) == 1
    fleet.now += 0.2
    assert fleet.registry.members() == []
    with pytest.raises(NotFound) as caught:
        fleet.beat(member)
    assert caught.value.code == "unknown_member"


def test_joining_again_takes_the_old_place(fleet: Fleet) -> None:
    old = fleet.join("http://a")
    new = fleet.join("http://a", state("other"))
    assert old != new
    assert [member.id for member in fleet.registry.members()] == [new]
    assert [model.id for model in fleet.registry.models()] == ["other"]
    with pytest.raises(NotFound):
        fleet.beat(old)


def test_worker_that_leaves_is_gone_at_once(fleet: Fleet) -> None:
    member = fleet.join("http://a")
    fleet.registry.leave(Leave(member=member))
    fleet.registry.leave(Leave(member=member))
    assert fleet.registry.members() == []


def test_suspended_worker_is_out_until_it_beats(fleet: Fleet) -> None:
    member = fleet.join("http://a")
    fleet.registry.suspend(fleet.member(member))
    assert fleet.registry.pick(MODEL, 1) is None
    assert not fleet.registry.ready
    fleet.beat(member)
    assert fleet.picked() == "http://a"


def test_worker_that_is_not_ready_gets_nothing(fleet: Fleet) -> None:
    member = fleet.join("http://a", state(ready=False))
    assert fleet.registry.pick(MODEL, 1) is None
    fleet.beat(member)
    assert fleet.picked() == "http://a"


def test_worker_gets_only_its_own_models(fleet: Fleet) -> None:
    fleet.join("http://a", state("one"))
    fleet.join("http://b", state("two", "three"))
    assert {fleet.picked(model="three") for _ in range(3)} == {"http://b"}
    assert [model.id for model in fleet.registry.models()] == ["one", "three", "two"]


def test_unknown_model_is_not_found_and_a_lost_one_unavailable(fleet: Fleet) -> None:
    with pytest.raises(NoWorker):  # nothing is known yet, so nothing is unknown
        fleet.registry.check(MODEL)
    fleet.join("http://other", state("other"))
    with pytest.raises(NotFound) as caught:
        fleet.registry.check(MODEL)
    assert (caught.value.code, caught.value.param) == ("model_not_found", "model")
    assert str(caught.value).endswith("served: other")
    member = fleet.join("http://a")
    fleet.registry.check(MODEL)
    fleet.registry.leave(Leave(member=member))
    with pytest.raises(NoWorker) as lost:
        fleet.registry.check(MODEL)
    assert lost.value.headers()["retry-after"] == "1"


def test_lost_model_is_forgotten_in_time(fleet: Fleet) -> None:
    fleet.registry.leave(Leave(member=fleet.join("http://a")))
    fleet.now += 601
    fleet.join("http://other", state("other"))
    with pytest.raises(NotFound):
        fleet.registry.check(MODEL)
