"""A response's input: items as they are kept, and the chat messages that they come to."""

import json
import uuid
from collections.abc import Iterator, Sequence

from cloister.errors import BadRequest
from cloister.response_id import PREVIOUS
from cloister.wire.chat import (
    AnyMessage,
    AssistantMessage,
    CalledFunction,
    DeveloperMessage,
    SystemMessage,
    TextPart,
    ToolCall,
    ToolMessage,
    UserMessage,
)
from cloister.wire.response import AskedCall, AskedItem, AskedMessage, AskedResult, AskedText
from cloister.wire.response_items import (
    CallItem,
    InputText,
    Item,
    MessageItem,
    OutputText,
    ReasoningItem,
    ReasoningText,
    ResultItem,
    SummaryText,
)

SPEAKERS = {"user": UserMessage, "system": SystemMessage, "developer": DeveloperMessage}


def items_of(asked: str | Sequence[AskedItem]) -> tuple[Item, ...]:
    """The input with an id on each item."""
    if isinstance(asked, str):
        return (MessageItem(id=_id("msg"), role="user", content=(InputText(text=asked),)),)
    return tuple(map(_item, asked))


def check_calls(earlier: Sequence[Item], new: Sequence[Item]) -> None:
    """Arguments are whole, and each result names a call before it. Raises `BadRequest`."""
    places = [*((PREVIOUS, item) for item in earlier)]
    places += [(f"input[{at}]", item) for at, item in enumerate(new)]
    called: set[str] = set()
    for place, item in places:
        if isinstance(item, CallItem):
            called.add(item.call_id)
            _check_arguments(item, place)
        if isinstance(item, ResultItem) and item.call_id not in called:
            param = f"{place}.call_id"
            raise BadRequest(f"{param}: no function_call of this call_id is before", param=param)


def messages_of(items: Sequence[Item]) -> Iterator[AnyMessage]:
    """A thought, what was said behind it and the calls behind that are one message."""
    turn = _Turn()
    for item in items:
        if not turn.takes(item):
            yield from turn.message()
            turn = _Turn()
        match item:
            case ResultItem():
                yield ToolMessage(
                    role="tool", content=_content(item.output), tool_call_id=item.call_id
                )
            case MessageItem() if item.role != "assistant":
                speaker = SPEAKERS[item.role]
                yield speaker(role=item.role, content=_content(item.content))
            case _:
                turn.add(item)
    yield from turn.message()


class _Turn:
    """An assistant's message, put together from items."""

    def __init__(self) -> None:
        self._thoughts: list[str] = []
        self._said: MessageItem | None = None
        self._calls: list[CallItem] = []

    def takes(self, item: Item) -> bool:
        """Can `item` be the next part of the same message?"""
        match item:
            case ReasoningItem():
                return self._said is None and not self._calls
            case MessageItem(role="assistant"):
                return self._said is None and not self._calls
            case CallItem():
                return True
        return False

    def add(self, item: Item) -> None:
        match item:
            case ReasoningItem():
                self._thoughts += [part.text for part in item.content]
            case MessageItem():
                self._said = item
            case CallItem():
                self._calls.append(item)

    def message(self) -> Iterator[AnyMessage]:
        """One, or none if nothing was added."""
        if self._said is None and not self._calls and not self._thoughts:
            return
        content = "" if self._said is None else _content(self._said.content)
        yield AssistantMessage(
            role="assistant",
            content=content or (None if self._calls else ""),
            reasoning_content="\n".join(self._thoughts) or None,
            tool_calls=[_call(item) for item in self._calls] or None,
        )


def _item(asked: AskedItem) -> Item:
    match asked:
        case AskedMessage():
            kind = OutputText if asked.role == "assistant" else InputText
            content = tuple(kind(text=text) for text in _texts(asked.content))
            return MessageItem(id=asked.id or _id("msg"), role=asked.role, content=content)
        case AskedCall():
            return CallItem(
                id=asked.id or _id("fc"),
                call_id=asked.call_id,
                name=asked.name,
                arguments=asked.arguments,
            )
        case AskedResult():
            texts = tuple(InputText(text=text) for text in _texts(asked.output))
            output = asked.output if isinstance(asked.output, str) else texts
            return ResultItem(id=asked.id or _id("fco"), call_id=asked.call_id, output=output)
    return ReasoningItem(
        id=asked.id or _id("rs"),
        summary=tuple(SummaryText(text=part.text) for part in asked.summary or ()),
        content=tuple(ReasoningText(text=part.text) for part in asked.content or ()),
    )


def _texts(content: str | Sequence[AskedText]) -> list[str]:
    return [content] if isinstance(content, str) else [part.text for part in content]


def _content(parts: str | Sequence[InputText | OutputText]) -> str | list[TextPart]:
    if isinstance(parts, str):
        return parts
    return [TextPart(type="text", text=part.text) for part in parts] or ""


def _call(item: CallItem) -> ToolCall:
    function = CalledFunction(name=item.name, arguments=item.arguments)
    return ToolCall(id=item.call_id, function=function)


def _check_arguments(item: CallItem, place: str) -> None:
    try:
        arguments = json.loads(item.arguments or "{}")
    except (ValueError, RecursionError):
        arguments = None
    if isinstance(arguments, dict):
        return
    if place == PREVIOUS:
        raise BadRequest(f"{place}: it has a call that is not whole", param=place)
    param = f"{place}.arguments"
    raise BadRequest(f"{param}: must be the text of a JSON object", param=param)


def _id(kind: str) -> str:
    return f"{kind}_{uuid.uuid4().hex}"
