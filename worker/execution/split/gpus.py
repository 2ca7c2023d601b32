"""The GPU servers of a worker, in order of preference, and what becomes of each.

A server that is dead or slow is left alone for a while, then tried again. One that breaks the
protocol or fails a check is never asked again by this process.
"""

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from cloister.errors import BadModel, BadSettings
from worker.execution.split.frames import Memory, Wire
from worker.execution.split.link import Call, Link, Terms
from worker.execution.split.wire import BadFrame, Refused, Status

FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 30.0

log = logging.getLogger(__name__)

Connect = Callable[[], Wire]
"""Opens a wire to one server. Raises `OSError`."""


@dataclass(slots=True)
class Counts:
    """What happened so far, for metrics."""

    calls: int = 0
    lost: int = 0
    in_tee: int = 0
    quarantined: int = 0


@dataclass(slots=True)
class Endpoint:
    """One server. `connect` opens a wire to it; `name` says what it is, and its address."""

    name: str
    connect: Connect
    counts: Counts
    clock: Callable[[], float] = time.monotonic
    quarantined: bool = False
    _link: Link | None = None
    _pause_s: float = FIRST_PAUSE_S
    _down_until: float = field(default=float("-inf"))

    def send(self, call: Call, terms: Terms) -> "Flight | None":
        """Start a call here; none if this server cannot be had now."""
        try:
            link = self._link or self.open(terms)
            if link is None:
                return None
            flight = Flight(self, link, link.send(call))
        except (OSError, BadFrame, Refused) as error:
            self.failed(error)
            return None
        self.counts.calls += 1
        return flight

    def receive(self, flight: "Flight") -> Memory | None:
        """The flight's product; none if it is lost."""
        try:
            reply = flight.link.receive(flight.sequence)
        except (OSError, BadFrame, Refused) as error:
            if flight.link is self._link:  # else told already, by another flight of that link
                self.failed(error)
            return None
        self._pause_s = FIRST_PAUSE_S
        return reply

    def open(self, terms: Terms) -> Link | None:
        """A session, if this is the time for one. Raises `OSError`, `BadFrame`, `Refused`."""
        if not self.can_be_had():
            return None
        self._link = Link(self.connect(), terms)
        log.info("%s is connected", self.name)
        return self._link

    def can_be_had(self) -> bool:
        """Not in quarantine, and not lost a moment ago."""
        return not self.quarantined and self.clock() >= self._down_until

    def quarantine(self, reason: str) -> None:
        """Never ask it again."""
        if not self.quarantined:
            log.error("%s is in quarantine: %s", self.name, reason)
            self.counts.quarantined += 1
        self.quarantined = True
        self.close()

    def close(self) -> None:
        if self._link is not None:
            self._link.close()
        self._link = None

    def failed(self, error: OSError | BadFrame | Refused) -> None:
        """Leave it alone: for a while, or for ever if it broke the protocol."""
        if isinstance(error, BadFrame):
            self.quarantine(str(error))
        else:
            self._pause(error)

    def _pause(self, error: OSError | Refused) -> None:
        self.counts.lost += 1
        self.close()
        log.warning("%s is lost for %g s: %s", self.name, self._pause_s, _why(error))
        self._down_until = self.clock() + self._pause_s
        self._pause_s = min(2 * self._pause_s, LONGEST_PAUSE_S)


@dataclass(frozen=True, slots=True)
class Flight:
    """A call under way at one server."""

    endpoint: Endpoint
    link: Link
    sequence: int


class Gpus:
    """Sends calls to the first server that can be had; not for several threads."""

    def __init__(
        self,
        connects: Sequence[tuple[str, Connect]],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.counts = Counts()
        self._endpoints = [
            Endpoint(f"GPU server {url}", connect, self.counts, clock) for url, connect in connects
        ]
        self._terms: Terms | None = None

    def start(self, terms: Terms) -> None:
        """Greet every server. One that is away is told in the log and tried again later.

        Raises:
            BadModel: a server holds other weights.
            BadSettings: a server refuses the token or does not speak this protocol.
        """
        self._terms = terms
        for endpoint in self._endpoints:
            greet(endpoint, terms)

    def can_be_had(self) -> bool:
        """Is there a server that is not known to be lost? No mask is spent on others."""
        return any(endpoint.can_be_had() for endpoint in self._endpoints)

    def send(self, call: Call) -> Flight | None:
        """Start a call at the first server that takes it."""
        for endpoint in self._endpoints:
            if flight := endpoint.send(call, self._known_terms()):
                return flight
        return None

    def replies(self, call: Call, flight: Flight | None) -> Iterator[tuple[Endpoint, Memory]]:
        """The flight's product, then those of the same bytes at the other servers, as asked for."""
        first = flight.endpoint if flight is not None else None
        if flight is not None and (reply := flight.endpoint.receive(flight)) is not None:
            yield flight.endpoint, reply
        for endpoint in self._endpoints:
            again = endpoint is not first and endpoint.send(call, self._known_terms())
            if again and (reply := endpoint.receive(again)) is not None:
                yield endpoint, reply

    def close(self) -> None:
        for endpoint in self._endpoints:
            endpoint.close()

    def _known_terms(self) -> Terms:
        assert self._terms is not None, "not started"
        return self._terms


def greet(endpoint: Endpoint, terms: Terms) -> None:
    """Open a first session, if the server is there. Raises as `Gpus.start`."""
    try:
        endpoint.open(terms)
    except OSError as error:
        endpoint.failed(error)
    except BadFrame as error:
        raise BadSettings(f"{endpoint.name}: {error}") from None
    except Refused as error:
        raise _hard(endpoint.name, error) from None


def _why(error: OSError | Refused) -> str:
    return (isinstance(error, OSError) and error.strerror) or str(error)


def _hard(name: str, error: Refused) -> BadModel | BadSettings:
    if error.status is Status.OTHER_WEIGHTS:
        return BadModel(f"{name} holds other weights than this worker's --model")
    if error.status is Status.WRONG_SHAPE:
        return BadSettings(f"{name} takes fewer rows in a call than chunk_rows")
    if error.status is Status.WRONG_TOKEN:
        return BadSettings(f"{name} refuses gpu_token (masks_token for a helper)")
    if error.status is Status.OTHER_PURPOSE:
        return BadSettings(f"{name} is not one: `cloister gpu` and `cloister masks` differ")
    return BadSettings(f"{name} refuses: {error}")
