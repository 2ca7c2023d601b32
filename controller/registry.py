"""The fleet: which workers there are, what they serve, and which one answers soonest.

Nothing here waits or talks to anyone; time is what `clock` says.
"""

import logging
import secrets
import statistics
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass

from cloister.errors import LONGEST_RETRY_S, NotFound, Unavailable, retry_headers
from cloister.fleet import UNKNOWN_MEMBER, Beat, FleetModel, Join, Joined, Leave, WorkerState

MISSED_BEATS = 3
SLACK_BEATS = 0.5  # a beat on its way is not missed
REMEMBERED_S = 600.0  # so long a model without workers is "unavailable", then "not found"

log = logging.getLogger(__name__)


class NoWorker(Unavailable):
    """The model is known, but nobody serves it at the moment."""

    default_code = "no_worker"

    def __init__(self, message: str, *, retry_after_s: float) -> None:
        super().__init__(message)
        self.wait_s = min(LONGEST_RETRY_S, retry_after_s)

    def headers(self) -> dict[str, str]:
        return retry_headers(self.wait_s)


@dataclass(slots=True)
class Member:
    """A worker in the fleet. What was sent since its last beat is not in its own numbers yet."""

    id: str
    url: str
    state: WorkerState
    heard_at: float
    suspended: bool = False
    sent_tokens: int = 0
    sent_requests: int = 0
    turn: int = 0  # when it was last picked

    @property
    def ready(self) -> bool:
        return self.state.ready and not self.suspended

    @property
    def requests(self) -> int:
        load = self.state.load
        return load.queued_requests + load.running_requests + self.sent_requests

    def serves(self, model: str) -> bool:
        return any(served.id == model for served in self.state.models)

    def wait_s(self, usual_tokens_per_s: float) -> float:
        """Expected wait of a new request; a worker without measurements counts as a usual one."""
        load = self.state.load
        tokens = load.queued_tokens + load.running_tokens + self.sent_tokens
        return tokens / (load.tokens_per_s or usual_tokens_per_s)

    def send(self, tokens: int) -> None:
        """It gets a request of so many tokens."""
        self.sent_tokens += tokens
        self.sent_requests += 1

    def hear(self, state: WorkerState, now: float) -> None:
        """A beat: its numbers are true again."""
        self.state = state
        self.heard_at = now
        self.suspended = False
        self.sent_tokens = 0
        self.sent_requests = 0


class Registry:
    """Members by their id. All methods belong to one event loop."""

    def __init__(self, beat_interval_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.beat_interval_s = beat_interval_s
        self._clock = clock
        self._members: dict[str, Member] = {}
        self._seen: dict[str, float] = {}  # model -> when it was last served
        self._turn = 0

    def join(self, join: Join) -> Joined:
        """Take a worker in, in the place of one at the same address."""
        for member in self.members():
            if member.url == join.url:
                del self._members[member.id]
        member = Member(secrets.token_hex(8), join.url, join.state, self._clock())
        self._members[member.id] = member
        log.info("worker %s joined", member.url)
        return Joined(member=member.id, beat_interval_s=self.beat_interval_s)

    def beat(self, beat: Beat) -> None:
        """Raises `NotFound` of code `unknown_member` if the worker must join again."""
        self._sweep()
        member = self._members.get(beat.member)
        if member is None:
            raise NotFound("no such member; join again", code=UNKNOWN_MEMBER)
        member.hear(beat.state, self._clock())

    def leave(self, leave: Leave) -> None:
        """Forget a worker; unknown ones are no error."""
        member = self._members.pop(leave.member, None)
        if member is not None:
            self._remember(member)
            log.info("worker %s left", member.url)

    def suspend(self, member: Member) -> None:
        """Send nothing more to a worker that failed, until it beats again."""
        if not member.suspended:
            log.warning("worker %s failed; it is out until its next beat", member.url)
        member.suspended = True

    def members(self) -> list[Member]:
        """All that are alive, suspended ones too."""
        self._sweep()
        return list(self._members.values())

    def models(self) -> list[FleetModel]:
        """What the members serve, by name. Where they differ, the careful value holds."""
        found: dict[str, FleetModel] = {}
        for member in self.members():
            for model in member.state.models:
                found[model.id] = _careful(model, found.get(model.id, model))
        return sorted(found.values(), key=lambda model: model.id)

    @property
    def ready(self) -> bool:
        return any(member.ready for member in self.members())

    def check(self, model: str) -> None:
        """Raises `NotFound` for a model that nobody serves, `NoWorker` if nobody does just now."""
        members = [member for member in self.members() if member.serves(model)]
        if any(member.ready for member in members):
            return
        if members or not self._members or self._is_remembered(model):
            raise self.no_worker()
        raise self.model_not_found()

    def model_not_found(self) -> NotFound:
        """Names the models there are, but not the one asked for: it is the client's text."""
        served = ", ".join(model.id for model in self.models()) or "none"
        message = f"model: there is no such model; served: {served}"
        return NotFound(message, param="model", code="model_not_found")

    def no_worker(self) -> NoWorker:
        message = "model: no worker that serves this model is ready; try again"
        return NoWorker(message, retry_after_s=self.beat_interval_s)

    def pick(self, model: str, tokens: int, but: Collection[str] = ()) -> Member | None:
        """The ready worker of least expected wait, not one of `but`; it is to get `tokens`.

        Among equals: the one with fewest requests, then the one that waits longest for a turn.
        """
        members = [
            member
            for member in self.members()
            if member.ready and member.serves(model) and member.id not in but
        ]
        if not members:
            return None
        usual = self._usual_tokens_per_s(model)
        best = min(members, key=lambda member: (member.wait_s(usual), member.requests, member.turn))
        self._turn += 1
        best.turn = self._turn
        best.send(tokens)
        return best

    def holder(self, tag: str) -> Member | None:
        """The worker that keeps the responses of this tag, even one that takes nothing new."""
        return next((member for member in self.members() if member.state.tag == tag), None)

    def wait_s(self, model: str) -> float | None:
        """Least expected wait of a new request; None if nobody can take it or has measured."""
        measured = (
            member.wait_s(member.state.load.tokens_per_s)
            for member in self.members()
            if member.ready and member.serves(model) and member.state.load.tokens_per_s
        )
        return min(measured, default=None)

    def _usual_tokens_per_s(self, model: str) -> float:
        """Mean of the measured workers. With none, waits are in tokens: still a fair order."""
        members = [member for member in self._members.values() if member.serves(model)]
        speeds = [member.state.load.tokens_per_s for member in members]
        measured = [speed for speed in speeds if speed > 0]
        return statistics.fmean(measured) if measured else 1.0

    def _sweep(self) -> None:
        limit = self._clock() - self.beat_interval_s * (MISSED_BEATS + SLACK_BEATS)
        for member in [member for member in self._members.values() if member.heard_at < limit]:
            del self._members[member.id]
            self._remember(member)
            log.warning("worker %s missed %d beats; it is gone", member.url, MISSED_BEATS)

    def _remember(self, member: Member) -> None:
        now = self._clock()
        self._seen = {name: at for name, at in self._seen.items() if now - at <= REMEMBERED_S}
        self._seen |= {model.id: now for model in member.state.models}

    def _is_remembered(self, model: str) -> bool:
        return self._clock() - self._seen.get(model, float("-inf")) <= REMEMBERED_S


def _careful(one: FleetModel, other: FleetModel) -> FleetModel:
    return FleetModel(
        id=one.id,
        created=min(one.created, other.created),
        context_length=min(one.context_length, other.context_length),
        execution=", ".join(sorted({*one.execution.split(", "), *other.execution.split(", ")})),
    )
