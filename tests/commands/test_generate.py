"""`cloister generate`: many prompts in flight, files that can be gone on with."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from cloister.errors import BadSettings, InternalError
from cloister.usage import UsageLog
from tests.fakes.engine import FakeEngine, tokens
from tests.fakes.vocabulary import write_folder
from worker.api.app import Readiness, create_app
from worker.api.response_store import ResponseStore
from worker.api.served import Served
from worker.build import Worker
from worker.commands import generate
from worker.commands.batch import Answers, Outcome, Task, read_tasks
from worker.commands.generate import answer_all
from worker.execution.local import LocalExecution
from worker.kernels.twins import Twins


def fake_worker(folder: Path, engine: FakeEngine) -> Worker:
    served = Served.load(write_folder(folder), name="tiny", context_length=200)
    return Worker(
        engine,  # type: ignore[arg-type]
        served,
        Readiness(),
        ResponseStore(),
        UsageLog(),
        create_app(served, engine),
        LocalExecution(),
        Twins(),
        threads=1,
    )


async def answer(worker: Worker, tasks: Sequence[Task], at_once: int = 4) -> list[Outcome]:
    heard: list[Outcome] = []
    await answer_all(worker, tasks, "tiny", at_once, heard.append)
    return heard


def tasks(count: int) -> list[Task]:
    return [Task(str(place), {"prompt": "hello"}) for place in range(count)]


async def test_every_task_is_answered_once(tmp_path: Path) -> None:
    outcomes = await answer(fake_worker(tmp_path, FakeEngine()), tasks(9))
    assert sorted(outcome.id for outcome in outcomes) == [str(place) for place in range(9)]
    assert {outcome.text for outcome in outcomes} == {"Hello!"}


async def test_chats_and_completions_go_to_their_routes(tmp_path: Path) -> None:
    chat = Task("chat", {"messages": [{"role": "user", "content": "hello"}], "stream": True})
    outcomes = await answer(fake_worker(tmp_path, FakeEngine()), [chat, *tasks(1)])
    kinds = {outcome.id: outcome.body["object"] for outcome in outcomes}
    assert kinds == {"chat": "chat.completion", "0": "text_completion"}


async def test_so_many_are_in_flight_and_no_more(tmp_path: Path) -> None:
    flying, most = set(), []

    class Counting(FakeEngine):
        def submit(self, request, listener) -> None:  # type: ignore[no-untyped-def]
            flying.add(request.id)
            most.append(len(flying))
            super().submit(request, lambda event: self._hear(request.id, event, listener))

        def _hear(self, id, event, listener) -> None:  # type: ignore[no-untyped-def]
            if event.finish is not None:
                flying.discard(id)
            listener(event)

    await answer(fake_worker(tmp_path, Counting()), tasks(6), at_once=2)
    assert len(most) == 6
    assert max(most) <= 2


async def test_refusal_of_one_task_leaves_the_others(tmp_path: Path) -> None:
    wrong = Task("wrong", {"prompt": "hello", "temperature": 99})
    outcomes = await answer(fake_worker(tmp_path, FakeEngine()), [wrong, *tasks(1)])
    status = {outcome.id: outcome.status for outcome in outcomes}
    assert status == {"wrong": 400, "0": 200}
    assert all(outcome.settled for outcome in outcomes)


async def test_failure_is_not_settled(tmp_path: Path) -> None:
    engine = FakeEngine([*tokens("Hel", "lo")[:1], InternalError("the engine failed")])
    (outcome,) = await answer(fake_worker(tmp_path, engine), tasks(1))
    assert not outcome.settled


def test_answers_are_gone_on_with_after_a_torn_line(tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    first = Outcome("a", 200, {"choices": [{"text": "yes"}]})
    path.write_text(first.line() + '{"custom_id": "b", "resp')
    answers = Answers(path)
    assert answers.ids == {"a"}
    answers.write(Outcome("c", 200, {}))
    answers.close()
    assert [json.loads(line)["custom_id"] for line in path.read_text().splitlines()] == ["a", "c"]


def test_file_that_is_no_answers_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("my notes\n")
    with pytest.raises(BadSettings, match="no answer"):
        Answers(path)
    assert path.read_text() == "my notes\n"


def test_openai_s_batch_lines_are_read() -> None:
    line = {"custom_id": "x", "method": "POST", "body": {"messages": [], "model": "m"}}
    (task,) = read_tasks([json.dumps(line)], "file")
    assert (task.id, task.path) == ("x", "/v1/chat/completions")


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        (["nonsense secret"], "line 1 is not JSON"),
        (["[]"], "not an object"),
        (['{"prompt": "a"}', "{}"], "line 2: either"),
        (['{"prompt": "a", "messages": []}'], "either"),
        (['{"custom_id": 7, "prompt": "a"}'], "custom_id is a text"),
        (['{"prompt": "a"}', '{"custom_id": "1", "prompt": "b"}'], "line 2: its custom_id"),
    ],
)
def test_bad_line_is_named_and_not_shown(lines: list[str], reason: str) -> None:
    with pytest.raises(BadSettings, match=reason) as caught:
        list(read_tasks(lines, "file"))
    assert "secret" not in str(caught.value)


def test_command_answers_and_goes_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    questions, answers = tmp_path / "questions.txt", tmp_path / "answers.jsonl"
    questions.write_text("What is Cloister?\n\nSpell fox.\n")
    words = ["--model", "novice", "--threads", "1", "--cache-mb", "8"]
    words += ["--temperature", "0", "--max-tokens", "12"]
    kept = ["--input", str(questions), "--output", str(answers)]
    assert generate.main([*words, *kept]) == 0
    before = answers.read_text()
    lines = [json.loads(line) for line in before.splitlines()]
    assert sorted(line["custom_id"] for line in lines) == ["1", "3"]
    assert generate.main([*words, *kept]) == 0
    assert answers.read_text() == before
    capsys.readouterr()
    assert generate.main([*words, "Spell fox."]) == 0
    spelled = next(line for line in lines if line["custom_id"] == "3")
    text = spelled["response"]["body"]["choices"][0]["message"]["content"]
    assert capsys.readouterr().out == text + "\n"


@pytest.mark.parametrize("words", [[], ["hello", "--input", "x"], ["--input", "/no/such"]])
def test_command_without_one_source_is_refused(words: list[str]) -> None:
    assert generate.main(words) == 2
