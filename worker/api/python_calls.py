"""Reads calls of tools written as a list of Python's: `[name(key=value), ...]`."""

import ast
from collections.abc import Collection, Sequence
from typing import Any

from worker.api.brackets import ObjectEnd
from worker.api.calls import PYTHON_TAG, CallReader
from worker.api.parts import Part


class PythonCallReader(CallReader):
    """Reads the list when it is whole."""

    def _begin(self) -> Sequence[Part] | None:
        text = self._text.lstrip()
        if not text or PYTHON_TAG.startswith(text):
            return None
        listed = text.removeprefix(PYTHON_TAG).lstrip()
        if not listed:
            return None
        if not listed.startswith("["):
            return self._give_up()
        end = ObjectEnd().find(listed)
        if end is None:
            return None
        calls = _python_calls(listed[:end], self._names)
        if calls is None or len(calls) > self._limit:
            return self._give_up()
        self._text, self._read = listed[end:].lstrip(), self._plain
        return [part for call in calls for part in self._whole_call(*call)]


def _python_calls(text: str, names: Collection[str]) -> list[tuple[str, dict[str, Any]]] | None:
    try:
        listed = ast.parse(text, mode="eval").body
        assert isinstance(listed, ast.List), "it begins with a bracket and ends with it"
        calls = [_python_call(item) for item in listed.elts]
    except (SyntaxError, ValueError, RecursionError, MemoryError, AssertionError):
        return None
    return calls if calls and all(name in names for name, _ in calls) else None


def _python_call(node: ast.expr) -> tuple[str, dict[str, Any]]:
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name) or node.args:
        raise ValueError("not a call by keywords")
    arguments: dict[str, Any] = {}
    for keyword in node.keywords:
        value = _python_value(keyword.value)
        arguments.update({keyword.arg: value} if keyword.arg is not None else value)
    return node.func.id, arguments


def _python_value(node: ast.expr) -> Any:
    """A literal of Python's; JSON's own words are understood too."""
    if isinstance(node, ast.Name) and node.id in ("true", "false", "null"):
        return {"true": True, "false": False, "null": None}[node.id]
    if isinstance(node, ast.List | ast.Tuple):
        return [_python_value(item) for item in node.elts]
    if isinstance(node, ast.Dict):
        keys = [None if key is None else _python_value(key) for key in node.keys]
        if not all(isinstance(key, str) for key in keys):
            raise ValueError("JSON's names are texts")
        return dict(zip(keys, map(_python_value, node.values), strict=True))
    value = ast.literal_eval(node)
    if not isinstance(value, str | int | float | bool | None):
        raise ValueError("not a value of JSON's")
    return value
