"""Tokens to text, one at a time: never half a character, never a piece of a stop string."""

from worker.engine.request import Vocabulary

UNFINISHED = (
    "\N{REPLACEMENT CHARACTER}"  # what decoders write for bytes that are not a character yet
)
WINDOW = 32  # tokens decoded at once at most, so that a long answer costs no more per token
CONTEXT = 8  # tokens kept before new ones: decoders treat the first token of a text differently


class TextStream:
    """The text of one sequence.

    Joined, the results of `push` and `end` are the whole text up to the stop string that is
    complete first, or with it if it `keeps_stop`; then `stop_string` is the one found. A byte
    sequence that never becomes a character stays U+FFFD inside the text and is dropped at its end.
    `decoded` counts the characters of the tokens so far, `released` those handed on.
    """

    def __init__(
        self, vocabulary: Vocabulary, stop: tuple[str, ...] = (), *, keeps_stop: bool = False
    ) -> None:
        self.stop_string: str | None = None
        self.decoded = 0
        self.released = 0
        self._vocabulary = vocabulary
        self._stop = stop
        self._keeps_stop = keeps_stop
        self._window: list[int] = []  # ids whose text is being decoded together
        self._read = 0  # characters of the window's text that were handed on
        self._held = ""  # decoded, but perhaps the beginning of a stop string

    @property
    def stopped(self) -> bool:
        """Was a stop string found?"""
        return self.stop_string is not None

    def push(self, token: int, *, may_stop: bool = True) -> str:
        """Add a token and return the text that no later token can change.

        Tokens that may not stop come first; no stop string begins in their text.
        """
        if self.stopped:
            return ""
        new = self._decode(token)
        certain = self._release(new) if may_stop else new
        self.released += len(certain)
        return certain

    def end(self) -> str:
        """The text held back, when no token follows."""
        rest, self._held = self._held, ""
        if self.stopped:
            return ""
        tail = self._vocabulary.decode(self._window)[self._read :].rstrip(UNFINISHED)
        self._window, self._read = [], 0
        certain = self._cut(rest + tail)
        self.released += len(certain)
        return certain

    def _decode(self, token: int) -> str:
        self._window.append(token)
        text = self._vocabulary.decode(self._window)
        if text.endswith(UNFINISHED):
            return ""
        new = text[self._read :]
        self._read = len(text)
        self.decoded += len(new)
        self._shorten()
        return new

    def _shorten(self) -> None:
        if len(self._window) < WINDOW:
            return
        context = self._window[-CONTEXT:]
        text = self._vocabulary.decode(context)
        if UNFINISHED not in text:  # a window may not begin inside a character
            self._window, self._read = context, len(text)

    def _release(self, new: str) -> str:
        if not self._stop:
            return new
        text = self._cut(self._held + new)
        if self.stopped:
            self._held = ""
            return text
        keep = self._possible_stop(text)
        self._held = text[len(text) - keep :]
        return text[: len(text) - keep]

    def _cut(self, text: str) -> str:
        places = ((text.find(stop), len(stop), stop) for stop in self._stop)
        found = [place for place in places if place[0] >= 0]
        if not found:
            return text
        place, length, self.stop_string = min(found)
        return text[: place + length] if self._keeps_stop else text[:place]

    def _possible_stop(self, text: str) -> int:
        """How many last characters may be the beginning of a stop string."""
        return max((_overlap(text, stop) for stop in self._stop), default=0)


def _overlap(text: str, stop: str) -> int:
    for length in range(min(len(stop) - 1, len(text)), 0, -1):
        if text.endswith(stop[:length]):
            return length
    return 0
