"""The `cloister` command: a table of commands, each loaded only when it is called."""

import difflib
import importlib
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from cloister import __version__


@dataclass(frozen=True, slots=True)
class Command:
    """`entry` is "module:function"; the function takes the remaining words, returns exit status."""

    entry: str
    summary: str


COMMANDS = {
    "up": Command("cloister.launcher:main", "start the whole stack: controller, worker, page"),
    "controller": Command("controller.__main__:main", "start the controller alone"),
    "worker": Command("worker.__main__:main", "start one model worker alone"),
    "gpu": Command("worker.gpu.__main__:main", "multiply for workers that hide their rows"),
    "masks": Command("worker.gpu.masks:main", "multiply masks that GPU servers must not know"),
    "webui": Command("webui.__main__:main", "start the chat page alone"),
    "chat": Command("cloister.chat:main", "chat in the terminal with any OpenAI address"),
    "keys": Command("controller.keys_command:main", "create, list, limit and revoke API keys"),
    "conform": Command("cloister.conform.command:main", "check any OpenAI address"),
    "convert": Command("worker.model.convert:main", "turn pickled weights into safetensors"),
    "quantize": Command("worker.model.quantize:main", "round a model's weights to 4 or 8 bits"),
    "doctor": Command("worker.commands.doctor:main", "tell what this machine offers, what to run"),
    "plan": Command("worker.commands.plan:main", "tell the memory and the enclave a model needs"),
    "generate": Command("worker.commands.generate:main", "answer prompts without a server"),
    "bench": Command("worker.commands.bench:main", "measure what first and later tokens cost"),
    "version": Command("cloister.cli:version", "print the version"),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command that the first word names, with the words after it."""
    words = sys.argv[1:] if argv is None else list(argv)
    if not words or words[0] in ("-h", "--help", "help"):
        sys.stdout.write(_usage())
        return 0
    name = "version" if words[0] == "--version" else words[0]
    if name not in COMMANDS:
        sys.stderr.write(f"error: unknown command {name}{_hint(name)}\n")
        return 2
    return _load(COMMANDS[name])(words[1:])


def version(argv: Sequence[str]) -> int:
    """Print the version of Cloister."""
    if argv:
        sys.stderr.write("error: cloister version takes no arguments\n")
        return 2
    sys.stdout.write(f"cloister {__version__}\n")
    return 0


def _load(command: Command) -> Callable[[Sequence[str]], int]:
    module, _, function = command.entry.partition(":")
    entry: Callable[[Sequence[str]], int] = getattr(importlib.import_module(module), function)
    return entry


def _hint(name: str) -> str:
    near = difflib.get_close_matches(name, COMMANDS, n=1, cutoff=0.6)
    return f"; did you mean {near[0]}?" if near else "; see cloister --help"


def _usage() -> str:
    rows = [f"  {name:<11} {command.summary}" for name, command in COMMANDS.items()]
    return "\n".join(
        [
            "usage: cloister COMMAND [OPTIONS]",
            "",
            "Confidential, OpenAI-compatible LLM serving.",
            "",
            *rows,
            "",
            "`cloister COMMAND --help` lists a command's options.",
            "",
        ]
    )
