"""The terminal chat, in a terminal of its own."""

import os
import pty
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.webui.fake_openai import FakeOpenAI, Script, error

CONTROL_C, CONTROL_D = "\x03", "\x04"
PATIENCE_S = 20.0
ANSWERED = "4 tokens · "  # behind an answer, and not in "12.4 tokens/s"

TAKE_TERMINAL_AND_CHAT = """
import fcntl, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
from cloister.chat import main
sys.exit(main())
"""


class Terminal:
    """`cloister chat` in a pseudo terminal."""

    def __init__(self, *flags: str) -> None:
        self._shown = ""  # since the words last waited for
        self._end, inner = pty.openpty()
        self.process = subprocess.Popen(
            (sys.executable, "-c", TAKE_TERMINAL_AND_CHAT, *flags),
            stdin=inner,
            stdout=inner,
            stderr=inner,
            start_new_session=True,
            env={**os.environ, "TERM": "xterm", "PROMPT_TOOLKIT_NO_CPR": "1"},
        )
        os.close(inner)

    def type(self, text: str) -> None:
        os.write(self._end, text.encode())

    def wait_for(self, words: str) -> None:
        """Until `words` have appeared after those last waited for."""
        deadline = time.monotonic() + PATIENCE_S
        while words not in self._shown:
            left_s = deadline - time.monotonic()
            assert left_s > 0, f"{words!r} did not appear in {self._shown!r}"
            if select.select([self._end], [], [], left_s)[0]:
                self._shown += os.read(self._end, 65536).decode(errors="replace")
        self._shown = self._shown.partition(words)[2]

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._end)


@pytest.fixture
def terminal(fake: FakeOpenAI) -> Iterator[Terminal]:
    terminal = Terminal("--url", fake.url)
    try:
        terminal.wait_for("›")
        yield terminal
    finally:
        terminal.close()


def contents(fake: FakeOpenAI) -> list[str]:
    return [message["content"] for message in fake.bodies[-1]["messages"]]


def test_turns_are_remembered_counted_and_cleared(fake: FakeOpenAI, terminal: Terminal) -> None:
    terminal.type("One\r")
    terminal.wait_for(ANSWERED)
    terminal.type("Two\r")
    terminal.wait_for(ANSWERED)
    assert contents(fake) == ["One", "Good day to you.", "Two"]
    terminal.type("/clear\r")
    terminal.wait_for("is forgotten")
    terminal.type("/system Be brief.\r")
    terminal.wait_for("is set")
    terminal.type("Three\r")
    terminal.wait_for(ANSWERED)
    assert contents(fake) == ["Be brief.", "Three"]


def test_control_c_stops_the_answer_and_not_the_program(
    fake: FakeOpenAI, terminal: Terminal
) -> None:
    fake.script = Script(("la ",), repeat=True, pause_s=0.01)
    terminal.type("Sing\r")
    terminal.wait_for("la la")
    terminal.type(CONTROL_C)
    terminal.wait_for("stopped")
    assert fake.left.wait(10)
    fake.script = Script()
    terminal.type("Talk\r")
    terminal.wait_for("Good day to you.")


def test_control_c_clears_the_line_and_control_d_leaves(
    fake: FakeOpenAI, terminal: Terminal
) -> None:
    terminal.type("Not this" + CONTROL_C + "But this\r")
    terminal.wait_for(ANSWERED)
    assert contents(fake) == ["But this"]
    terminal.wait_for("›")
    terminal.type(CONTROL_D)
    assert terminal.process.wait(PATIENCE_S) == 0


def test_retry_asks_the_last_question_again_after_an_error(
    fake: FakeOpenAI, terminal: Terminal
) -> None:
    fake.script = Script(refusal=(503, error("no worker"), {}))
    terminal.type("Hello\r")
    terminal.wait_for("not available at the moment")
    fake.script = Script()
    terminal.type("/retry\r")
    terminal.wait_for("Good day to you.")
    assert contents(fake) == ["Hello"]


def test_models_are_listed_chosen_and_kept(fake: FakeOpenAI, terminal: Terminal) -> None:
    terminal.type("/model\r")
    terminal.wait_for("novice, sage")
    terminal.type("/model sage\r")
    terminal.wait_for("talking to sage")
    terminal.type("Hello\r")
    terminal.wait_for(ANSWERED)
    assert fake.bodies[-1]["model"] == "sage"


def test_an_unknown_command_names_the_nearest(terminal: Terminal) -> None:
    terminal.type("/rerty\r")
    terminal.wait_for("did you mean /retry?")


def test_typed_lines_are_kept_only_where_asked(fake: FakeOpenAI, tmp_path: Path) -> None:
    file = tmp_path / "lines"
    terminal = Terminal("--url", fake.url, "--history", str(file))
    terminal.wait_for("›")
    terminal.type("Hello\r")
    terminal.wait_for(ANSWERED)
    terminal.close()
    assert "+Hello" in file.read_text()


def piped(text: str, *flags: str) -> "subprocess.CompletedProcess[str]":
    command = (sys.executable, "-m", "cloister.chat", *flags)
    return subprocess.run(command, input=text, capture_output=True, text=True, timeout=30)


def test_a_piped_question_is_answered_once(fake: FakeOpenAI) -> None:
    done = piped("hi\n", "--url", fake.url, "--temperature", "0", "--system", "Be brief.")
    assert (done.returncode, done.stdout, done.stderr) == (0, "Good day to you.\n", "")
    assert contents(fake) == ["Be brief.", "hi"]
    assert fake.bodies[-1]["temperature"] == 0


def test_a_piped_question_without_an_answer_fails(fake: FakeOpenAI) -> None:
    fake.script = Script(("Half",), broken=True)
    done = piped("hi", "--url", fake.url)
    assert (done.returncode, done.stdout) == (1, "Half\n")
    assert done.stderr.startswith("error: The answer broke off")


def test_nothing_listening_is_one_clear_line(unused_url: str) -> None:
    done = piped("hi", "--url", unused_url)
    assert done.returncode == 1
    assert done.stderr.startswith("error: The model server cannot be reached.")
    assert unused_url in done.stderr


def test_escape_sequences_of_a_model_do_not_reach_the_terminal(fake: FakeOpenAI) -> None:
    fake.script = Script(("a\x1b[2J", "\x9b31m", "b\tc\n"))
    assert piped("hi", "--url", fake.url).stdout == "a[2J31mb\tc\n\n"
