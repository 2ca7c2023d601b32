"""How a worker and its controller talk about the fleet: join, beat, leave.

All three are POSTs from the worker with the join token in `x-cloister-worker-token`; the controller
shows the same token when it sends requests back, with the tenant in `x-cloister-tenant`.

    POST /fleet/join   Join   -> Joined
    POST /fleet/beat   Beat   -> Heard, or 404 `unknown_member`: join again
    POST /fleet/leave  Leave  -> Heard

What requests cost travels with beats. The controller gives each request that it relays an id in
`x-cloister-usage-id`; the worker numbers a record of each that it answered, and sends it with every
beat until one was answered with that number. The controller counts a number of a run once, so
neither a lost beat nor one that comes twice changes a count. `x-cloister-prompt-tokens` of an
answer is for the case that its worker dies before it reports.
"""

from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

JOIN_PATH = "/fleet/join"
BEAT_PATH = "/fleet/beat"
LEAVE_PATH = "/fleet/leave"

TOKEN_HEADER = "x-cloister-worker-token"
TENANT_HEADER = "x-cloister-tenant"
USAGE_HEADER = "x-cloister-usage-id"
PROMPT_HEADER = "x-cloister-prompt-tokens"
UNKNOWN_MEMBER = "unknown_member"

MODELS = 64  # a worker serves one model under a few names
RECORDS = 1000  # in one beat at most


def worker_url(text: str) -> str:
    """An address to send requests to, without a slash at its end. Raises `ValueError`."""
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("must be an address such as http://127.0.0.1:8001")
    if parts.username or parts.query or parts.fragment:
        raise ValueError("must hold no user, query or fragment")
    return text.rstrip("/")


WorkerUrl = Annotated[str, Field(max_length=1024), AfterValidator(worker_url)]
Count = Annotated[int, Field(ge=0)]


class Message(BaseModel):
    """Read one from JSON: strict types, no unknown members."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, hide_input_in_errors=True)


class FleetModel(Message):
    """A model as `/v1/models` tells of it. `created` is Unix time in seconds."""

    id: str = Field(min_length=1, max_length=256)
    created: Count
    context_length: Count
    execution: str = Field(default="local", max_length=256)


class FleetLoad(Message):
    """The part of the engine's load that the wait follows from; same names and units as there."""

    queued_requests: Count = 0
    running_requests: Count = 0
    queued_tokens: Count = 0
    running_tokens: Count = 0
    tokens_per_s: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0


class WorkerState(Message):
    """All that a controller knows of a worker. Not `ready` means: send nothing new.

    `tag` stands in the ids of the responses that it keeps; without one it keeps none.
    """

    models: Annotated[tuple[FleetModel, ...], Field(min_length=1, max_length=MODELS)]
    load: FleetLoad = FleetLoad()
    ready: bool = True
    tag: Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")] | None = None


class Join(Message):
    """A worker tells where it is. It takes the place of one that joined from the same address."""

    url: WorkerUrl
    state: WorkerState


class Joined(Message):
    """The controller's answer: a name for this membership, and how often to beat."""

    member: str
    beat_interval_s: float = Field(gt=0, le=3600)


class UsageRecord(Message):
    """What one answered request cost, left by its client or not. `number` grows within a run."""

    number: int = Field(ge=1)
    request: str = Field(max_length=64)
    tenant: str = Field(max_length=256)
    prompt_tokens: Count
    cached_tokens: Count
    generated_tokens: Count


class UsageReport(Message):
    """Records of one run of a worker, by number; the oldest that are not counted yet."""

    run: Annotated[str, Field(max_length=64)] = ""
    records: Annotated[tuple[UsageRecord, ...], Field(max_length=RECORDS)] = ()


class Beat(Message):
    """`member` is alive, and this is its state now."""

    member: str
    state: WorkerState
    usage: UsageReport = UsageReport()


class Leave(Message):
    """`member` takes no more requests; what it has already, it finishes."""

    member: str
    usage: UsageReport = UsageReport()


class Heard(Message):
    """All records of the run up to this number are counted, and on disk."""

    counted: Count
