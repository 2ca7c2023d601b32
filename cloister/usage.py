"""What finished requests cost, kept by a worker until its controller has counted it."""

import itertools
import secrets
from collections import deque

from cloister.fleet import RECORDS, UsageRecord, UsageReport


class UsageLog:
    """Records of this run of the program. Lives in one event loop; holds counts only."""

    def __init__(self) -> None:
        self._run = secrets.token_hex(8)
        self._numbers = itertools.count(1)
        self._records: deque[UsageRecord] = deque()

    def add(
        self,
        request: str,
        tenant: str,
        *,
        prompt_tokens: int,
        cached_tokens: int,
        generated_tokens: int,
    ) -> None:
        """A request ended."""
        record = UsageRecord(
            number=next(self._numbers),
            request=request,
            tenant=tenant,
            prompt_tokens=prompt_tokens,
            cached_tokens=cached_tokens,
            generated_tokens=generated_tokens,
        )
        self._records.append(record)

    def report(self) -> UsageReport:
        """What is not counted yet, the oldest first."""
        return UsageReport(run=self._run, records=tuple(itertools.islice(self._records, RECORDS)))

    def counted(self, number: int) -> None:
        """The controller has counted all up to `number`."""
        while self._records and self._records[0].number <= number:
            self._records.popleft()
