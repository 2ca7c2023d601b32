"""Who may still enter the engine, and what it tells of its load."""

from cloister.errors import Busy
from worker.engine.drafting import Drafting
from worker.engine.limits import Limits
from worker.engine.meter import Meter
from worker.engine.request import Load, Request
from worker.engine.scheduler import Scheduler


class Gate:
    """Reads what the scheduler, the meter and the drafts count. The engine holds a lock."""

    def __init__(
        self, scheduler: Scheduler, limits: Limits, meter: Meter, drafting: Drafting
    ) -> None:
        self._scheduler = scheduler
        self._limits = limits
        self._meter = meter
        self._drafting = drafting

    def admit(self, request: Request) -> None:
        """Raises `Busy`: too many requests, or too many prompt tokens, wait already."""
        waiting, limits = self._scheduler.waiting, self._limits
        if len(waiting) >= limits.queued_requests:
            raise self._busy(f"{len(waiting)} requests wait, the limit is {limits.queued_requests}")
        prompts = {id(sequence.request.prompt): sequence.wanted for sequence in waiting}
        tokens = sum(prompts.values())
        new = 0 if id(request.prompt) in prompts else len(request.prompt)
        if waiting and tokens + new > limits.queued_tokens:
            raise self._busy(
                f"{tokens} prompt tokens wait, with this request the limit of "
                f"{limits.queued_tokens} is passed",
                min(tokens, tokens + new - limits.queued_tokens),
            )

    def load(self) -> Load:
        """Numbers of this moment."""
        scheduler = self._scheduler
        everyone = [*scheduler.waiting, *scheduler.running]
        return Load(
            queued_requests=len(scheduler.waiting),
            running_requests=len(scheduler.running),
            queued_tokens=sum(sequence.wanted for sequence in everyone if sequence.in_prompt),
            running_tokens=sum(sequence.remaining for sequence in scheduler.running),
            tokens_per_s=self._meter.tokens_per_s,
            pages_used=scheduler.pages.used,
            pages_total=scheduler.pages.count,
            drafted_tokens=self._drafting.drafted,
            accepted_tokens=self._drafting.accepted,
        )

    def _busy(self, reason: str, tokens: int = 0) -> Busy:
        """Full; `tokens` must be computed, or one sequence must end, before there is a place."""
        load = self.load()
        if tokens or not self._meter.ends_per_s:
            everyone = max(1, load.queued_requests + load.running_requests)
            ahead = tokens or (load.queued_tokens + load.running_tokens) / everyone
            return Busy(f"queue full: {reason}", retry_after_s=ahead / max(1.0, load.tokens_per_s))
        return Busy(f"queue full: {reason}", retry_after_s=1 / self._meter.ends_per_s)
