"""Strict reading of settings that the homes' own tools accept in silence.

A table notes every fault it meets instead of stopping at the first: a person mends them all at
once. Names that were never asked for are faults too.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeVar

from cloister.settings_sources import nearest

Kind = TypeVar("Kind")

UNITS = {"B": 1, "KB": 2**10, "MB": 2**20, "GB": 2**30, "TB": 2**40}
SHORT_UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30}


class Table:
    """One object of a settings file at `place`, with the faults of the whole file."""

    def __init__(self, values: Any, place: str, faults: list[str]) -> None:
        self.place = place
        self.faults = faults
        self._asked: set[str] = set()
        self._values: Mapping[str, Any] = values if isinstance(values, Mapping) else {}
        if not isinstance(values, Mapping):
            self.fault("", f"must be a table, not {type(values).__name__}")

    def fault(self, name: str, message: str) -> None:
        """Note a fault of a member, or of the table itself."""
        self.faults.append(f"{self._path(name)}: {message}")

    def table(self, name: str) -> "Table":
        """A member that is a table and must be there."""
        return Table(self._get(name, {}), self._path(name), self.faults)

    def tables(self, name: str) -> Iterator["Table"]:
        """The members of a list of tables that must be there."""
        for index, value in enumerate(self.items(name)):
            yield Table(value, f"{self._path(name)}[{index}]", self.faults)

    def items(self, name: str, default: Sequence[Any] | None = None) -> list[Any]:
        """A list."""
        return self._typed(name, list, "a list", None if default is None else [*default], [])

    def text(self, name: str, default: str | None = None) -> str:
        return self._typed(name, str, "a text", default, "")

    def flag(self, name: str, default: bool | None = None) -> bool:
        return self._typed(name, bool, "true or false", default, False)

    def integer(self, name: str, low: int, high: int, default: int | None = None) -> int:
        """A whole number within limits."""
        value = self._typed(name, int, "a whole number", default, low)
        if isinstance(value, bool) or not low <= value <= high:
            self.fault(name, f"{value} must lie between {low} and {high}")
        return value

    def size(self, name: str, units: Mapping[str, int], default: str | None = None) -> int:
        """Bytes of a size such as "12GB": a whole number and one of the units."""
        text = self.text(name, default)
        match = re.fullmatch(r"([0-9]+)([A-Z]*)", text)
        if text and (match is None or match[2] not in units):
            known = ", ".join(unit for unit in units if unit)
            self.fault(name, f"{text!r} must be a whole number and one of {known}")
            return 0
        return int(match[1]) * units[match[2]] if match else 0

    def choice(self, name: str, allowed: Sequence[str], default: str | None = None) -> str:
        """One of a few words."""
        value = self.text(name, default)
        if value and value not in allowed:
            self.fault(name, f"{value!r} must be one of {', '.join(allowed)}")
        return value

    def has(self, name: str) -> bool:
        """Is an optional member there?"""
        self._asked.add(name)
        return name in self._values

    def names(self) -> list[str]:
        """All members, each of which then counts as asked for."""
        self._asked.update(self._values)
        return list(self._values)

    def raw(self, name: str) -> Any:
        """The value of a member as it stands, None where it is absent."""
        self._asked.add(name)
        return self._values.get(name)

    def forbid(self, prefixes: tuple[str, ...], message: str) -> None:
        """Members that begin so are faults."""
        for name in self._values:
            if name.startswith(prefixes):
                self._asked.add(name)
                self.fault(name, message)

    def close(self) -> None:
        """All has been asked for: whatever is left is unknown."""
        for name in self._values:
            if name not in self._asked:
                self.fault(name, f"unknown{nearest(name, self._asked)}")

    def _typed(
        self, name: str, kind: type[Kind], expected: str, default: Kind | None, instead: Kind
    ) -> Kind:
        """A member of a type; `default` where it may be absent, `instead` where it is wrong."""
        value = self._get(name, default)
        if isinstance(value, kind):
            return value
        if value is not None:
            self.fault(name, f"must be {expected}, not {type(value).__name__}")
        return instead

    def _get(self, name: str, default: Any) -> Any:
        self._asked.add(name)
        if name in self._values:
            return self._values[name]
        if default is None or default == {}:
            self.fault(name, "is missing")
        return default

    def _path(self, name: str) -> str:
        return ".".join(part for part in (self.place, name) if part)
