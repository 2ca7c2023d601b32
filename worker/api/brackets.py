"""Where a text's brackets close, while the text is still coming."""


class ObjectEnd:
    """Finds where brackets that open close again, quoted ones left out; goes on where it was."""

    def __init__(self) -> None:
        self._depth = 0
        self._quote = ""
        self._is_escaped = False

    def find(self, text: str) -> int | None:
        """The place behind the last bracket, or None if it is not there yet."""
        for place, letter in enumerate(text):
            if self._quote:
                self._inside_quote(letter)
            elif letter in "\"'":
                self._quote = letter
            elif letter in "{[(":
                self._depth += 1
            elif letter in "}])":
                self._depth -= 1
                if self._depth <= 0:
                    return place + 1
        return None

    def _inside_quote(self, letter: str) -> None:
        if self._is_escaped:
            self._is_escaped = False
        elif letter == "\\":
            self._is_escaped = True
        elif letter == self._quote:
            self._quote = ""
