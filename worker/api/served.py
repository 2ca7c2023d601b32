"""What the API knows of the model behind it: its name, its words and its habits."""

import hashlib
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cloister import __version__
from cloister.errors import BadModel, NotFound
from cloister.wire.models import Model
from worker.api.template import ChatTemplate, template_source
from worker.api.tokenizer import Tokenizer, read_json
from worker.api.tools import FormatSetting, ToolFormat, find_format
from worker.engine.grammar import Grammars
from worker.engine.request import Sampling

OWNER = "cloister"


@dataclass(frozen=True, slots=True)
class Served:
    """One model under its name and aliases. `template` is none where the model has none.

    `tool_format` is how it writes calls, none where it cannot; `grammars` compiles what its answers
    are held to. `defaults` apply to what a request leaves open. `vocabulary_size` is the number of
    token ids that the model takes.
    """

    name: str
    context_length: int
    vocabulary_size: int
    tokenizer: Tokenizer
    template: ChatTemplate | None
    tool_format: ToolFormat | None
    grammars: Grammars
    defaults: Sampling = field(default_factory=Sampling)
    aliases: tuple[str, ...] = ()
    created: int = field(default_factory=lambda: int(time.time()))

    @classmethod
    def load(
        cls,
        folder: Path,
        *,
        name: str,
        context_length: int,
        vocabulary_size: int | None = None,
        aliases: tuple[str, ...] = (),
        tool_format: FormatSetting = "auto",
    ) -> "Served":
        """Read what concerns text from a model folder. Raises `BadModel`."""
        written = template_source(folder) or ""
        tokenizer = Tokenizer.load(folder, written)
        size = vocabulary_size or tokenizer.size
        return cls(
            name=name,
            context_length=context_length,
            vocabulary_size=size,
            tokenizer=tokenizer,
            template=ChatTemplate.load(folder, tokenizer.special),
            tool_format=find_format(written, tool_format),
            grammars=Grammars(tokenizer.source, tokenizer.end_ids, size),
            defaults=_defaults(folder),
            aliases=aliases,
        )

    @property
    def fingerprint(self) -> str:
        """Equal for equal model names and Cloister versions."""
        text = f"{self.name} {self.context_length} {__version__}"
        return "fp_" + hashlib.sha256(text.encode()).hexdigest()[:12]

    def answers_to(self, name: str) -> bool:
        return name == self.name or name in self.aliases

    def model(self, name: str) -> Model:
        """The wire's description under one of the names."""
        return Model(
            id=name, created=self.created, owned_by=OWNER, context_length=self.context_length
        )


def check_name(served: Served, name: str) -> None:
    """Raises `NotFound` unless the model is served under `name`."""
    if not served.answers_to(name):
        raise NotFound(
            f"model: there is no model of this name; {served.name} is served here",
            param="model",
            code="model_not_found",
        )


def _defaults(folder: Path) -> Sampling:
    """What generation_config.json recommends, within what the API takes."""
    config = read_json(folder / "generation_config.json")
    return Sampling(
        temperature=_number(config, "temperature", 1.0, 0, 2),
        top_p=_number(config, "top_p", 1.0, 0, 1) or 1.0,
        top_k=int(_number(config, "top_k", 0, 0, 2**31)),
        min_p=_number(config, "min_p", 0.0, 0, 1),
        repetition_penalty=_number(config, "repetition_penalty", 1.0, 0, 2) or 1.0,
    )


def _number(config: dict[str, Any], name: str, default: float, low: float, high: float) -> float:
    value = config.get(name)
    if value is None:
        return default
    if not isinstance(value, (int, float)) or not low <= value <= high:
        raise BadModel(f"generation_config.json: {name} must lie between {low} and {high}")
    return value
