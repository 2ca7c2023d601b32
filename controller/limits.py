"""What one key may still ask for now: requests and tokens a minute, and requests at once.

Both rates are token buckets: full at first, refilled evenly, so that a minute's worth can be asked
for at once and then as much a minute. Tokens are taken when a request comes, as many as it may cost
at most, and settled when its worker has told what it did cost. Time is what `clock` says.
"""

import math
from collections.abc import Callable

from cloister.errors import Busy, CloisterError
from controller.keys import Limits

FADE = 0.8  # of the mean duration, a request
FIRST_GUESS_S = 1.0


class RequestsLimited(Busy):
    kind = "requests"
    default_code = "rate_limit_exceeded"


class TokensLimited(Busy):
    kind = "tokens"
    default_code = "rate_limit_exceeded"


class TooMuch(CloisterError):
    """More than the limit ever lets through; asking again is for nothing."""

    status = 429
    kind = "tokens"
    default_code = "rate_limit_exceeded"

    def headers(self) -> dict[str, str]:
        return {"x-should-retry": "false"}


class Bucket:
    """Holds a minute's worth at most. Below zero after a request that cost more than was taken."""

    def __init__(self, per_minute: int, clock: Callable[[], float]) -> None:
        self.limit = per_minute
        self._clock = clock
        self._held = float(per_minute)
        self._at = clock()

    @property
    def held(self) -> float:
        now = self._clock()
        self._held = min(self.limit, self._held + (now - self._at) * self.limit / 60)
        self._at = now
        return self._held

    def take(self, count: float) -> None:
        """Take; a negative `count` gives back, up to the limit."""
        self._held = min(self.limit, self.held - count)

    def wait_s(self, count: float) -> float:
        """Until it holds `count`; 0 if it does."""
        return max(0.0, count - self.held) * 60 / self.limit

    def headers(self, of: str) -> dict[str, str]:
        return {
            f"x-ratelimit-limit-{of}": str(self.limit),
            f"x-ratelimit-remaining-{of}": str(max(0, math.floor(self.held))),
            f"x-ratelimit-reset-{of}": duration(self.wait_s(self.limit)),
        }


class Allowance:
    """One key's limits, and how much of them is left."""

    def __init__(self, limits: Limits, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._running = 0
        self._usual_s = FIRST_GUESS_S
        self.set(limits)

    def set(self, limits: Limits) -> None:
        """New limits begin with full buckets; what runs goes on."""
        self.limits = limits
        self._requests = self._bucket(limits.requests_per_minute)
        self._tokens = self._bucket(limits.tokens_per_minute)

    @property
    def running(self) -> int:
        return self._running

    def enter(self, tokens: int) -> None:
        """A request that may cost so many tokens begins.

        Raises:
            RequestsLimited, TokensLimited: not now; the wait is told.
            TooMuch: never.
        """
        self._check_parallel()
        if self._requests is not None and (wait_s := self._requests.wait_s(1)):
            limit = self._requests.limit
            raise RequestsLimited(f"requests per minute: limit {limit}", retry_after_s=wait_s)
        if self._tokens is not None:
            self._check_tokens(self._tokens, tokens)
            self._tokens.take(tokens)
        if self._requests is not None:
            self._requests.take(1)
        self._running += 1

    def leave(self, lasted_s: float) -> None:
        """A request ended, whichever way."""
        self._running -= 1
        self._usual_s = FADE * self._usual_s + (1 - FADE) * lasted_s

    def charge(self, tokens: int) -> None:
        """So many tokens more than were taken before; fewer if negative."""
        if self._tokens is not None:
            self._tokens.take(tokens)

    def headers(self) -> dict[str, str]:
        """OpenAI's `x-ratelimit` headers, of the limits that are set."""
        requests = {} if self._requests is None else self._requests.headers("requests")
        tokens = {} if self._tokens is None else self._tokens.headers("tokens")
        return requests | tokens

    def _bucket(self, per_minute: int | None) -> Bucket | None:
        return None if per_minute is None else Bucket(per_minute, self._clock)

    def _check_parallel(self) -> None:
        limit = self.limits.parallel_requests
        if limit is not None and self._running >= limit:
            message = f"parallel requests: limit {limit}, {self._running} run"
            raise RequestsLimited(message, retry_after_s=self._usual_s / self._running)

    def _check_tokens(self, bucket: Bucket, tokens: int) -> None:
        told = f"tokens per minute: limit {bucket.limit}, this request may take {tokens}"
        if tokens > bucket.limit:
            raise TooMuch(f"{told}; lower max_tokens, or shorten the prompt")
        if wait_s := bucket.wait_s(tokens):
            raise TokensLimited(told, retry_after_s=wait_s)


def duration(seconds: float) -> str:
    """As OpenAI writes them: `0s`, `120ms`, `1.5s`, `6m0s`."""
    if seconds < 1:
        return f"{math.ceil(1000 * seconds)}ms" if seconds > 0 else "0s"
    if seconds < 60:
        return f"{math.ceil(100 * seconds) / 100:g}s"
    whole = math.ceil(seconds)
    return f"{whole // 60}m{whole % 60}s"
