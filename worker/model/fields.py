"""Typed reading of a model folder's JSON files; every error names file, field, value and limit."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cloister.errors import BadModel


@dataclass(frozen=True, slots=True)
class Fields:
    """One JSON object and the file it came from."""

    path: Path
    values: Mapping[str, Any]

    @classmethod
    def read(cls, path: Path) -> "Fields":
        """Raises `BadModel` when the file is absent, not JSON, or not an object."""
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError as error:
            raise BadModel(f"{path} is missing") from error
        except OSError as error:
            raise BadModel(f"{path} cannot be read: {error.strerror}") from error
        except ValueError as error:
            raise BadModel(f"{path} is not JSON: {error}") from error
        if not isinstance(values, dict):
            raise BadModel(f"{path} holds a {type(values).__name__}, not a JSON object")
        return cls(path, values)

    def get(self, name: str) -> Any:
        """The raw value; None when it is absent or null."""
        return self.values.get(name)

    def within(self, name: str) -> "Fields":
        """The object in field `name`; empty when it is absent or null."""
        value = self.get(name)
        if value is None:
            return Fields(self.path, {})
        if not isinstance(value, dict):
            raise self.bad(name, "an object")
        return Fields(self.path, value)

    def integer(self, name: str, default: int | None = None, *, least: int = 1) -> int:
        """The integer in field `name`, at least `least`; `default` when it is absent or null."""
        value = default if self.get(name) is None else self.get(name)
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise self.bad(name, f"an integer of at least {least}")
        return value

    def number(self, name: str, default: float | None = None) -> float:
        """The positive number in field `name`; `default` when it is absent or null."""
        value = default if self.get(name) is None else self.get(name)
        if not isinstance(value, int | float) or isinstance(value, bool) or not value > 0:
            raise self.bad(name, "a positive number")
        return float(value)

    def flag(self, name: str, default: bool = False) -> bool:
        """The boolean in field `name`; `default` when it is absent or null."""
        value = default if self.get(name) is None else self.get(name)
        if not isinstance(value, bool):
            raise self.bad(name, "true or false")
        return value

    def bad(self, name: str, expected: str) -> BadModel:
        """The error for a field that is not as expected."""
        if self.get(name) is None:
            return BadModel(f"{self.path} lacks {name}; {expected} is expected")
        return BadModel(f"{self.path}: {name} is {self.get(name)!r}; {expected} is expected")
