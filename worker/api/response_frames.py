"""A response as bytes: its typed events, and its whole body."""

import json
import time
from collections.abc import Callable, Iterable, Sequence

from cloister import sse
from cloister.errors import Busy, CloisterError
from cloister.wire.base import Usage
from cloister.wire.response import (
    ErrorCode,
    IncompleteDetails,
    InputDetails,
    OutputDetails,
    ResponseBody,
    ResponseError,
    ResponseUsage,
)
from cloister.wire.response_events import AnyEvent, DeltaEvent, Lifecycle, LifecycleEvent
from worker.api.choice import Piece
from worker.api.frames import OpenAIStream
from worker.api.growing_items import End
from worker.api.padding import padding
from worker.api.response_output import Output

Keep = Callable[[ResponseBody], None]
"""Called with a response that has ended well, before the client hears of its end."""


class ResponseFrames(OpenAIStream):
    """Stream and whole body come from the same items, so they are the same.

    Args:
        draft: the response as it is before anything is generated
    """

    def __init__(self, draft: ResponseBody, keep: Keep, *, obfuscation: bool) -> None:
        self._draft = draft
        self._keep = keep
        self._obfuscation = obfuscation
        self._output = Output()
        self._end: End = "completed"

    def begin(self) -> bytes:
        created = self._lifecycle("response.created", self._draft)
        return created + self._lifecycle("response.in_progress", self._draft)

    def first(self, piece: Piece) -> bytes:
        return self.part(piece)

    def part(self, piece: Piece) -> bytes:
        return self._frames(self._output.add(piece))

    def end(self, piece: Piece) -> bytes:
        self._end = _end(piece)
        return self._frames(self._output.end(self._end))

    def usage(self, usage: Usage) -> bytes:
        kind: Lifecycle = (
            "response.completed" if self._end == "completed" else "response.incomplete"
        )
        return self._lifecycle(kind, self._ended(usage))

    def failure(self, error: CloisterError) -> bytes:
        code: ErrorCode = "rate_limit_exceeded" if isinstance(error, Busy) else "server_error"
        told = ResponseError(code=code, message=error.message)
        output = tuple(self._output.items)
        changes = {"status": "failed", "error": told, "output": output}
        return self._lifecycle("response.failed", self._draft.model_copy(update=changes))

    def whole(self, told: Sequence[Sequence[Piece]], usage: Usage) -> bytes:
        [pieces] = told
        for piece in pieces:
            for one in piece.parted():
                list(self._output.add(one))
        self._end = _end(pieces[-1])
        list(self._output.end(self._end))
        return dumped(self._ended(usage))

    def _ended(self, usage: Usage) -> ResponseBody:
        is_cut = self._end == "incomplete"
        response = self._draft.model_copy(
            update={
                "status": self._end,
                "completed_at": None if is_cut else int(time.time()),
                "incomplete_details": IncompleteDetails() if is_cut else None,
                "output": tuple(self._output.items),
                "usage": _usage(usage, self._output.reasoning_tokens),
            }
        )
        self._keep(response)
        return response

    def _lifecycle(self, kind: Lifecycle, response: ResponseBody) -> bytes:
        number = self._output.number()
        return self._frames([LifecycleEvent(type=kind, sequence_number=number, response=response)])

    def _frames(self, events: Iterable[AnyEvent]) -> bytes:
        return b"".join(map(self._frame, events))

    def _frame(self, event: AnyEvent) -> bytes:
        data = dumped(event)
        if self._obfuscation and isinstance(event, DeltaEvent):
            data = dumped(event.model_copy(update={"obfuscation": padding(len(data))}))
        return sse.frame(data, event.type)


def dumped(answer: ResponseBody | AnyEvent) -> bytes:
    """JSON, escaped to ASCII: some clients split lines at U+2028 and its like."""
    members = answer.model_dump(by_alias=True)
    if isinstance(answer, DeltaEvent) and answer.obfuscation is None:
        del members["obfuscation"]
    return json.dumps(members, separators=(",", ":")).encode()


def _end(piece: Piece) -> End:
    return "incomplete" if piece.finish == "length" else "completed"


def _usage(usage: Usage, reasoning_tokens: int) -> ResponseUsage:
    cached = usage.prompt_tokens_details.cached_tokens
    return ResponseUsage(
        input_tokens=usage.prompt_tokens,
        input_tokens_details=InputDetails(cached_tokens=cached),
        output_tokens=usage.completion_tokens,
        output_tokens_details=OutputDetails(reasoning_tokens=reasoning_tokens),
        total_tokens=usage.total_tokens,
    )
