"""Parts reasoning from content, for models that think between `<think>` and `</think>`."""

from collections.abc import Sequence

from worker.api.parts import Part, Reader, Reasoning, overlap

OPEN, CLOSE = "<think>", "</think>"


class ThinkingReader:
    """Reasoning up to `</think>`, then what `inner` reads.

    A thought stands at the answer's start only; `thinking` says that the prompt began one. White
    space at the borders of a thought belongs to neither side.
    """

    def __init__(self, inner: Reader, *, thinking: bool) -> None:
        self._inner = inner
        self._state = "inside" if thinking else "start"
        self._held = ""
        self._has_begun = False

    def push(self, text: str) -> Sequence[Part]:
        if self._state == "after":
            return self._inner.push(text)
        self._held += text
        if self._state == "start" and not self._start():
            return []
        if self._state == "inside":
            return self._inside()
        return self._after()

    def end(self) -> Sequence[Part]:
        held, self._held = self._held, ""
        if self._state == "inside":
            return self._thought(held.rstrip())
        if self._state == "border":
            held = held.lstrip()
        return [*self._inner.push(held), *self._inner.end()]

    def _start(self) -> bool:
        """Is it known whether the answer begins with a thought?"""
        text = self._held.lstrip()
        if text.startswith(OPEN):
            self._state, self._held = "inside", text.removeprefix(OPEN)
        elif not OPEN.startswith(text):
            self._state = "content"
        return self._state != "start"

    def _inside(self) -> Sequence[Part]:
        thought, close, rest = self._held.partition(CLOSE)
        if close:
            self._state, self._held = "border", rest
            return [*self._thought(thought.rstrip()), *self._after()]
        keep = overlap(thought, CLOSE)
        sure = thought[: len(thought) - keep].rstrip()
        self._held = thought[len(sure) :]
        return self._thought(sure)

    def _thought(self, text: str) -> Sequence[Part]:
        if not self._has_begun:
            text = text.lstrip()
        if not text:
            return []
        self._has_begun = True
        return [Reasoning(text)]

    def _after(self) -> Sequence[Part]:
        text = self._held.lstrip() if self._state == "border" else self._held
        if not text:
            return []
        self._state, self._held = "after", ""
        return self._inner.push(text)
