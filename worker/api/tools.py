"""How each family of models writes calls of tools: found in its template, read from its answers."""

import secrets
import string
from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

from worker.api.json_calls import JsonCallReader
from worker.api.parts import Reader
from worker.api.python_calls import PythonCallReader

LETTERS = string.ascii_letters + string.digits

FormatName = Literal["hermes", "llama3_json", "pythonic", "mistral"]
FormatSetting = Literal["auto"] | FormatName


@dataclass(frozen=True, slots=True)
class ToolFormat:
    """One family's way to write calls; `signs` tell it from others in a chat template.

    `opening` and `closing` stand around each call or, where `is_list`, around all. A call is
    `before` with the tool's name in place of NAME, the arguments, `after`. `between` parts calls;
    it is none where the family writes one call only.
    """

    name: FormatName
    signs: tuple[str, ...]
    opening: str
    closing: str
    before: str
    after: str
    between: str | None
    is_list: bool = False
    is_python: bool = False
    id_prefix: str = "call_"
    id_length: int = 24

    def reader(self, names: Collection[str], limit: int) -> Reader:
        """Reads an answer's calls of the tools `names`, at most `limit` of them."""
        if self.is_python:
            return PythonCallReader(names, self.new_id, limit)
        closing = self.closing if self.closing and not self.is_list else None
        return JsonCallReader(names, self.new_id, limit, self.opening or None, closing)

    def new_id(self) -> str:
        return self.id_prefix + "".join(secrets.choice(LETTERS) for _ in range(self.id_length))


FORMATS = (
    ToolFormat(
        name="mistral",
        signs=("[TOOL_CALLS]",),
        opening="[TOOL_CALLS]",
        closing="]",
        before='{"name": NAME, "arguments": ',
        after="}",
        between=", ",
        is_list=True,
        id_prefix="",  # Mistral's templates want nine letters or digits
        id_length=9,
    ),
    ToolFormat(
        name="hermes",
        signs=("<tool_call>", '"arguments'),
        opening="<tool_call>",
        closing="</tool_call>",
        before='\n{"name": NAME, "arguments": ',
        after="}\n",
        between="\n",
    ),
    ToolFormat(
        name="pythonic",
        signs=("[func_name1(",),
        opening="",
        closing="]",
        before="NAME(**",
        after=")",
        between=", ",
        is_list=True,
        is_python=True,
    ),
    ToolFormat(
        name="llama3_json",
        signs=('{"name": ', '"parameters": '),
        opening="",
        closing="",
        before='{"name": NAME, "parameters": ',
        after="}",
        between=None,
    ),
)


def find_format(template: str, name: FormatSetting) -> ToolFormat | None:
    """The format of that name; with `auto` the one that the template writes, if we know it."""
    if name != "auto":
        return next(one for one in FORMATS if one.name == name)
    written = (one for one in FORMATS if all(sign in template for sign in one.signs))
    return next(written, None)
