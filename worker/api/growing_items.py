"""Items of a response that grow, and the events that tell how."""

import uuid
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from typing import ClassVar, Literal

from cloister.wire.logprobs import TokenLogprob
from cloister.wire.response_events import (
    AnyEvent,
    ArgumentsDelta,
    ArgumentsDone,
    ItemEvent,
    PartEvent,
    ReasoningDelta,
    ReasoningDone,
    TextDelta,
    TextDone,
)
from cloister.wire.response_items import (
    CallItem,
    Item,
    MessageItem,
    OutputText,
    ReasoningItem,
    ReasoningText,
    Status,
)
from worker.api.entries import Entry
from worker.api.logprobs import chat_logprobs
from worker.api.parts import Arguments, Call, Content, Part, Reasoning

End = Literal["completed", "incomplete"]


class GrowingItem(ABC):
    """An item to which text is added; `number` gives the next event's sequence number."""

    prefix: ClassVar[str]

    def __init__(self, index: int, number: Callable[[], int]) -> None:
        self.id = f"{self.prefix}_{uuid.uuid4().hex}"
        self.index = index
        self._number = number
        self._texts: list[str] = []

    @property
    def text(self) -> str:
        return "".join(self._texts)

    @abstractmethod
    def takes(self, part: Part) -> bool:
        """Does `part` belong to this item?"""

    @abstractmethod
    def item(self, status: Status) -> Item:
        """The item as far as it is."""

    @abstractmethod
    def begin(self) -> Iterator[AnyEvent]: ...

    @abstractmethod
    def grow(self, text: str, entries: Sequence[Entry] | None) -> AnyEvent: ...

    @abstractmethod
    def end(self, status: End) -> Iterator[AnyEvent]: ...

    def _added(self) -> AnyEvent:
        return ItemEvent(
            type="response.output_item.added",
            sequence_number=self._number(),
            output_index=self.index,
            item=self.item("in_progress"),
        )

    def _done(self, status: End) -> AnyEvent:
        return ItemEvent(
            type="response.output_item.done",
            sequence_number=self._number(),
            output_index=self.index,
            item=self.item(status),
        )

    def _part(
        self,
        type: Literal["response.content_part.added", "response.content_part.done"],
        part: OutputText | ReasoningText,
    ) -> AnyEvent:
        return PartEvent(
            type=type,
            sequence_number=self._number(),
            item_id=self.id,
            output_index=self.index,
            part=part,
        )


class GrowingMessage(GrowingItem):
    """A message; its log-probabilities are of the tokens in which its text stands."""

    prefix = "msg"

    def __init__(self, index: int, number: Callable[[], int]) -> None:
        super().__init__(index, number)
        self._logprobs: list[TokenLogprob] = []
        self._has_begun = False

    def takes(self, part: Part) -> bool:
        return isinstance(part, Content)

    def item(self, status: Status) -> Item:
        content = (self._content(),) if self._has_begun else ()
        return MessageItem(id=self.id, status=status, role="assistant", content=content)

    def begin(self) -> Iterator[AnyEvent]:
        yield self._added()
        self._has_begun = True
        yield self._part("response.content_part.added", self._content())

    def grow(self, text: str, entries: Sequence[Entry] | None) -> AnyEvent:
        self._texts.append(text)
        told = chat_logprobs(_standing(text, entries or ()))
        logprobs = [] if told is None else told.content
        self._logprobs += logprobs
        return TextDelta(
            sequence_number=self._number(),
            item_id=self.id,
            output_index=self.index,
            delta=text,
            logprobs=tuple(logprobs),
        )

    def end(self, status: End) -> Iterator[AnyEvent]:
        yield TextDone(
            sequence_number=self._number(),
            item_id=self.id,
            output_index=self.index,
            text=self.text,
            logprobs=tuple(self._logprobs),
        )
        yield self._part("response.content_part.done", self._content())
        yield self._done(status)

    def _content(self) -> OutputText:
        return OutputText(text=self.text, logprobs=tuple(self._logprobs))


class GrowingThought(GrowingItem):
    """A reasoning item, told in full."""

    prefix = "rs"

    def takes(self, part: Part) -> bool:
        return isinstance(part, Reasoning)

    def item(self, status: Status) -> Item:
        content = (ReasoningText(text=self.text),) if self._texts else ()
        return ReasoningItem(id=self.id, status=status, content=content)

    def begin(self) -> Iterator[AnyEvent]:
        yield self._added()
        yield self._part("response.content_part.added", ReasoningText(text=""))

    def grow(self, text: str, _: Sequence[Entry] | None) -> AnyEvent:
        self._texts.append(text)
        return ReasoningDelta(
            sequence_number=self._number(), item_id=self.id, output_index=self.index, delta=text
        )

    def end(self, status: End) -> Iterator[AnyEvent]:
        yield ReasoningDone(
            sequence_number=self._number(),
            item_id=self.id,
            output_index=self.index,
            text=self.text,
        )
        yield self._part("response.content_part.done", ReasoningText(text=self.text))
        yield self._done(status)


class GrowingCall(GrowingItem):
    """A call of a function; its text is that of the arguments."""

    prefix = "fc"

    def __init__(self, index: int, number: Callable[[], int], call: Call) -> None:
        super().__init__(index, number)
        self._call = call

    def takes(self, part: Part) -> bool:
        return isinstance(part, Arguments) and part.index == self._call.index

    def item(self, status: Status) -> Item:
        return CallItem(
            id=self.id,
            status=status,
            call_id=self._call.id,
            name=self._call.name,
            arguments=self.text,
        )

    def begin(self) -> Iterator[AnyEvent]:
        yield self._added()

    def grow(self, text: str, _: Sequence[Entry] | None) -> AnyEvent:
        self._texts.append(text)
        return ArgumentsDelta(
            sequence_number=self._number(), item_id=self.id, output_index=self.index, delta=text
        )

    def end(self, status: End) -> Iterator[AnyEvent]:
        yield ArgumentsDone(
            sequence_number=self._number(),
            item_id=self.id,
            output_index=self.index,
            arguments=self.text,
        )
        yield self._done(status)


def _standing(text: str, entries: Sequence[Entry]) -> Sequence[Entry]:
    """The entries in whose bytes `text` stands: not those of markers that came before it."""
    data = text.encode()
    while len(entries) > 1 and data in b"".join(entry.word.data for entry in entries[1:]):
        entries = entries[1:]
    return entries
