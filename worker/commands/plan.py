"""`cloister plan MODEL`: the memory a worker needs, and the enclave that holds it.

Reads config.json and the headers of the weights; loads nothing.
"""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from cloister.enclaves import GIB, PROFILES, enclave_bytes, profile_for
from cloister.settings import command
from worker.build import low_bit_for, threads_for
from worker.commands.need import Need, need
from worker.commands.options import MEMORY, Options, gibibytes, positive
from worker.kernels.lowbit import Format
from worker.model.config import ModelConfig
from worker.model.load import form_of
from worker.model.source import find_model
from worker.model.weights import stored_type
from worker.settings import WorkerSettings

DEFAULT_BUDGET = 16 * GIB

OTHER_THREADS = 12
"""Main, engine, masks, long prompts, grammars, tokenizer, and the runtime's own helpers."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What was found for one model. `tokens` is the length of the sequences that are counted."""

    name: str
    config: ModelConfig
    dtype: torch.dtype
    form: Format | None
    need: Need
    tokens: int
    budget_bytes: int


@command
def main(argv: Sequence[str]) -> int:
    """The command. Exit status: 0, 2 if the model or a setting is bad."""
    options = Options("plan", "Tell the memory that a model needs.", MEMORY)
    add = options.parser.add_argument
    add("name", nargs="?", metavar="MODEL", help="a folder, a Hub id or novice; as --model")
    add("--context", type=positive, metavar="TOKENS", help="length of a sequence (default: all)")
    add("--memory", type=gibibytes, metavar="GIB", help="a budget to fill (default: 16)")
    words, settings = options.parse(argv)
    model = words.name or settings.model
    made = plan(model, settings, words.context, words.memory or DEFAULT_BUDGET)
    sys.stdout.write("\n".join(told(made)) + "\n")
    return 0


def plan(model: str, settings: WorkerSettings, context: int | None, budget_bytes: int) -> Plan:
    """Plan a worker of these settings. Raises `BadModel`."""
    folder = find_model(model)
    config = ModelConfig.read(folder)
    dtype = stored_type(folder, settings.dtype)
    form = form_of(folder, config, low_bit_for(settings, folder))
    found = need(config, dtype, settings, form)
    tokens = min(context or config.context_length, config.context_length)
    return Plan(Path(model).name, config, dtype, form, found, tokens, budget_bytes)


def told(plan: Plan) -> Iterator[str]:
    """The plan in lines, each figure with its unit."""
    config, found = plan.config, plan.need
    kind = f"int{plan.form.bits}" if plan.form else str(plan.dtype).removeprefix("torch.")
    yield f"{plan.name}: {config.family}, {config.layers} layers, {kind}"
    yield ""
    yield _row("weights", _mib(found.weights))
    yield _row("KV cache", f"{_mib(found.cache)}, {found.token_bytes:,} bytes a token")
    yield _row("activations", _mib(found.activations))
    yield _row("runtime", _mib(found.runtime))
    yield _row("in all", _mib(found.total))
    yield ""
    yield _row("sequences", _budget(plan))
    yield _row("enclave", _enclave(found))
    yield _row("threads", _threads(found))
    yield _row("profile", profile_for(found.total) or f"none; the largest is {max(PROFILES)}")


def _row(name: str, text: str) -> str:
    return f"  {name:<12} {text}"


def _budget(plan: Plan) -> str:
    room = plan.budget_bytes - plan.need.without_cache
    count = plan.need.sequences(plan.budget_bytes, plan.tokens)
    fitting = f"{plan.budget_bytes / GIB:g} GiB hold {count:,} of {plan.tokens:,} tokens each"
    return f"{fitting}, with --cache-mb {room // 2**20}" if count else fitting


def _enclave(need: Need) -> str:
    gramine, occlum = enclave_bytes(need.total) / GIB, -(-need.total // GIB)
    return f"{gramine:g} GiB for Gramine, {occlum} GiB of user space for Occlum, at least"


def _threads(need: Need) -> str:
    compute = threads_for(need.weights)
    return f"{compute} compute, {compute + OTHER_THREADS} in all"


def _mib(size: int) -> str:
    return f"{size / 2**20:>9,.1f} MiB"
