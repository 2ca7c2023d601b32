"""One session with one GPU server: the handshake, then calls, several of which may be under way.

The server is not trusted. A reply is matched to a call that waits for it, must have that call's
site and exact size, and comes once; anything else ends the session.
"""

from dataclasses import dataclass, field

from worker.execution.split.frames import Memory, Payload, Wire
from worker.execution.split.sites import SiteId
from worker.execution.split.wire import (
    HELLO_BYTES,
    HELLO_S,
    LIMITS,
    NONCE_BYTES,
    BadFrame,
    Header,
    Kind,
    Op,
    Refused,
    Status,
    prove,
)


@dataclass(frozen=True, slots=True)
class Terms:
    """What this worker expects of a server, and how long it waits for one call."""

    digest: bytes
    kind: Kind
    token: bytes = field(repr=False)
    deadline_s: float
    rows: int = 1  # in the largest call
    calls: int = 1  # in flight


@dataclass(frozen=True, slots=True)
class Call:
    """Rows of one site on their way. The same bytes may go to several servers, one by one."""

    site: SiteId
    kind: Kind
    rows: int
    columns: int  # in
    outputs: int
    payload: Payload = field(repr=False)

    def header(self, sequence: int) -> Header:
        size_bytes = memoryview(self.payload).nbytes
        return Header(
            Op.MULTIPLY, sequence, self.site, self.kind, self.rows, self.columns, size_bytes
        )

    def check_reply(self, header: Header) -> int:
        """The size of its payload. Raises `BadFrame` unless it is this call's product."""
        kind = Kind.INT32 if self.kind is Kind.SEED else self.kind
        if (header.site, header.kind, header.rows) != (self.site, kind, self.rows):
            raise BadFrame("a reply is for another site or other rows")
        return header.payload(self.outputs, self.rows)


class Link:
    """An open session. Not for several threads. Raises `OSError`, `BadFrame` and `Refused`."""

    def __init__(self, wire: Wire, terms: Terms) -> None:
        self._wire = wire
        self._deadline_s = terms.deadline_s
        self._sequence = 0
        self._waiting: dict[int, Call] = {}
        self._arrived: dict[int, Memory] = {}
        try:
            self._greet(terms)
        except BaseException:
            wire.close()
            raise

    def send(self, call: Call) -> int:
        """Start a call; the answer names it to `receive`."""
        self._sequence += 1
        self._wire.send(call.header(self._sequence), call.payload, self._deadline_s)
        self._waiting[self._sequence] = call
        return self._sequence

    def receive(self, sequence: int) -> Memory:
        """Wait for a call's product: its numbers as they came, unchecked but for their count."""
        while sequence not in self._arrived:
            header = self._wire.header(self._deadline_s, self._deadline_s)
            if header.op is Op.ERROR:
                raise Refused(header.status)
            call = self._waiting.pop(header.sequence, None)
            if header.op is not Op.PRODUCT or call is None:
                raise BadFrame("a reply to no call that waits")
            size_bytes = call.check_reply(header)
            self._arrived[header.sequence] = self._wire.payload(size_bytes, self._deadline_s)
        return self._arrived.pop(sequence)

    def close(self) -> None:
        self._wire.close()

    def _greet(self, terms: Terms) -> None:
        nonce = self._expect(Op.CHALLENGE, NONCE_BYTES)
        hello = terms.digest + prove(terms.token, bytes(nonce), terms.digest)
        header = Header(Op.HELLO, kind=terms.kind, size_bytes=HELLO_BYTES)
        self._wire.send(header, hello, HELLO_S)
        most_rows, most_calls = LIMITS.unpack(self._expect(Op.WELCOME, LIMITS.size))
        if most_rows < terms.rows or most_calls < terms.calls:
            raise Refused(Status.WRONG_SHAPE)

    def _expect(self, op: Op, size_bytes: int) -> Memory:
        header = self._wire.header(HELLO_S, HELLO_S)
        if header.op is Op.ERROR:
            raise Refused(header.status)
        if header.op is not op or header.size_bytes != size_bytes:
            raise BadFrame("the handshake is broken")
        return self._wire.payload(size_bytes, HELLO_S)
