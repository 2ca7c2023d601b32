"""`cloister generate`: answers without a server, in flight together, resumable.

Each request goes through the worker's own API, in this process and without a socket, so it means
here what it means there.

    cloister generate "What is Cloister?"
    cloister generate --input questions.jsonl --output answers.jsonl
"""

import asyncio
import sys
from argparse import Namespace
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from cloister.errors import BadSettings
from cloister.settings import command
from worker.commands.batch import Answers, Outcome, Task, read_tasks
from worker.commands.options import Options, positive
from worker.settings import WorkerSettings

if TYPE_CHECKING:
    from worker.build import Worker

SETTINGS = (
    "model",
    "dtype",
    "weights",
    "threads",
    "cache_mb",
    "kv_cache_dtype",
    "step_tokens",
    "sequences",
    "tool_format",
)

Hear = Callable[[Outcome], None]


@command
def main(argv: Sequence[str]) -> int:
    """The command. Exit status: 0, 1 when answers are missing, 2 if it cannot begin."""
    options = _options()
    words, settings = options.parse(argv)
    tasks = list(_tasks(words))
    answers = Answers(Path(words.output)) if words.output else None
    left = [task for task in tasks if answers is None or task.id not in answers.ids]
    from worker.build import build  # torch takes seconds to import: bad words are told first

    worker = build(settings.model_copy(update={"join_token": None}))  # nobody else can ask it
    try:
        missing = asyncio.run(_run(worker, settings, left, words, answers))
    finally:
        worker.close()
        if answers is not None:
            answers.close()
    if missing:
        sys.stderr.write(f"{missing} of {len(tasks)} have no answer; run the same command again\n")
    return 1 if missing else 0


async def answer_all(
    worker: "Worker", tasks: Sequence[Task], model: str, at_once: int, hear: Hear
) -> None:
    """Answer tasks, `at_once` in flight, and tell each when it is done."""
    rest = iter(tasks)
    transport = httpx.ASGITransport(worker.app)
    async with httpx.AsyncClient(
        transport=transport, base_url="http://worker", timeout=None
    ) as http:

        async def go_on() -> None:
            for task in rest:
                hear(await _answer(http, task, model))

        async with asyncio.TaskGroup() as group:
            for _ in range(min(at_once, len(tasks))):
                group.create_task(go_on())


async def _answer(http: httpx.AsyncClient, task: Task, model: str) -> Outcome:
    body = {"model": model, **task.body, "stream": False}
    while True:
        response = await http.post(task.path, json=body)
        if response.status_code != 429:
            return Outcome(task.id, response.status_code, response.json())
        await asyncio.sleep(float(response.headers["retry-after"]))


async def _run(
    worker: "Worker",
    settings: WorkerSettings,
    tasks: Sequence[Task],
    words: Namespace,
    answers: Answers | None,
) -> int:
    """Answer with a progress bar. Returns how many tasks have no lasting answer."""
    outcomes: dict[str, Outcome] = {}
    with _progress() as progress:
        bar = progress.add_task("generating", total=len(tasks))

        def hear(outcome: Outcome) -> None:
            progress.advance(bar)
            if outcome.settled:
                outcomes[outcome.id] = outcome
                if answers is not None:
                    answers.write(outcome)

        await answer_all(worker, tasks, worker.served.name, settings.sequences, hear)
    if answers is None:
        _print([outcomes[task.id] for task in tasks if task.id in outcomes], words)
    return len(tasks) - len(outcomes)


def _print(outcomes: Sequence[Outcome], words: Namespace) -> None:
    for outcome in outcomes:
        sys.stdout.write(outcome.line() if words.input else outcome.text + "\n")


def _tasks(words: Namespace) -> Iterator[Task]:
    if bool(words.prompt) == bool(words.input):
        raise BadSettings("give either prompts or --input FILE")
    options = _given(words)
    if words.input:
        for task in _from_file(words):
            yield Task(task.id, {**options, **task.body})
        return
    for number, text in enumerate(words.prompt, start=1):
        yield Task(str(number), {**options, **_body(words, text)})


def _from_file(words: Namespace) -> Iterator[Task]:
    try:
        lines = Path(words.input).read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise BadSettings(f"--input {words.input}: {reason}") from None
    if words.input.endswith(".jsonl"):
        yield from read_tasks(lines, words.input)
        return
    for number, line in enumerate(lines, start=1):
        if line.strip():
            yield Task(str(number), _body(words, line))


def _body(words: Namespace, text: str) -> dict[str, Any]:
    if words.raw:
        return {"prompt": text}
    system = [{"role": "system", "content": words.system}] if words.system else []
    return {"messages": [*system, {"role": "user", "content": text}]}


def _given(words: Namespace) -> dict[str, Any]:
    """The flags that were given, as members of a request; a line's own members win."""
    names = ("max_tokens", "temperature", "seed")
    return {name: getattr(words, name) for name in names if getattr(words, name) is not None}


def _options() -> Options:
    options = Options("generate", "Answer prompts without a server.", SETTINGS)
    add = options.parser.add_argument
    add("prompt", nargs="*", metavar="PROMPT", help="prompts; answers are printed in their order")
    add("--input", metavar="FILE", help="requests (.jsonl), or a text with one prompt a line")
    add("--output", metavar="FILE", help="answers as JSON lines; what it has is not done again")
    add("--raw", action="store_true", help="continue the text, without the model's chat template")
    add("--system", metavar="TEXT", help="system prompt of those that are no JSON")
    add("--max-tokens", type=positive, metavar="COUNT", help="most tokens of an answer")
    add("--temperature", type=float, help="0 is greedy")
    add("--seed", type=int, help="equal seeds give equal text")
    return options


def _progress() -> Progress:
    columns = (TextColumn("generating"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=Console(stderr=True))
