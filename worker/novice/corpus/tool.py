"""What a tool is: a name, a description, parameters, and how people ask for it."""

from dataclasses import dataclass
from random import Random
from typing import Any

from worker.novice.corpus.params import Param


@dataclass(frozen=True)
class Tool:
    """A tool and patterns of requests for it; `{clauses}` stands for what is said of parameters."""

    name: str
    told: str
    params: tuple[Param, ...]
    asks: str
    optional: tuple[str, ...] = ()

    def signature(self, rng: Random) -> dict[str, Any]:
        """Return the tool as the wire carries it, with the usual variety of schemas."""
        properties = {each.name: each.schema() for each in self.params}
        if rng.random() < 0.3:
            for each in self.params:
                properties[each.name]["description"] = f"The {each.name.replace('_', ' ')}"
        parameters: dict[str, Any] = {"type": "object", "properties": properties}
        if rng.random() < 0.85:
            required = [each.name for each in self.params if each.name not in self.optional]
            parameters["required"] = required
        if rng.random() < 0.05:
            parameters["additionalProperties"] = False
        told = {"name": self.name, "description": self.told, "parameters": parameters}
        if rng.random() < 0.1:
            del told["description"]
        return {"type": "function", "function": told}
