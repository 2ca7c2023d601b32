"""What the page says, and what it asks, without a browser."""

import pytest

from cloister.client import Interrupted, Message, Summary, Unreachable, Usage
from cloister.errors import (
    BadRequest,
    Busy,
    CloisterError,
    ContextExceeded,
    InternalError,
    NotFound,
    Unauthorized,
    Unavailable,
)
from cloister.words import failure, numbers
from webui.answers import Answer
from webui.controls import wish
from webui.conversation import messages, question, reply

NEUTRAL = ("", 0.3, 0, 1, 0, 0, 0, 0)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (Unreachable("x"), "The model server cannot be reached. Your question is kept; retry"),
        (Unavailable("x"), "The model is not available at the moment."),
        (Busy("x", retry_after_s=12), "Your question is kept; retry in 12 seconds."),
        (Busy("x", retry_after_s=1), "The model is busy with other requests."),
        (Unauthorized("x"), "does not accept the API key."),
        (NotFound("no model x"), "The request was refused: no model x. Choose another model."),
        (ContextExceeded("900 tokens; limit 512."), "900 tokens; limit 512. Clear the chat"),
        (BadRequest("top_p: 3 is over 1"), "top_p: 3 is over 1. Your question is kept"),
        (InternalError("secret detail"), "The model server had an error."),
    ],
)
def test_each_error_has_a_reason_and_an_advice(error: CloisterError, words: str) -> None:
    assert words in failure(error, begun=False)
    assert "secret detail" not in failure(error, begun=False)


def test_an_answer_that_broke_off_says_so() -> None:
    told = failure(Interrupted("x"), begun=True)
    assert told == (
        "The answer broke off: The connection to the model ended. "
        "What came so far stays; retry asks again."
    )


def test_speed_counts_the_tokens_after_the_first() -> None:
    summary = Summary("stop", Usage(7, 11), first_s=0.5, total_s=2.5)
    assert (
        numbers(summary, 0.5) == "11 tokens · 5.0 tokens/s · 7 prompt tokens · first after 0.50 s"
    )


def test_a_cut_answer_says_why_it_ends() -> None:
    summary = Summary("length", Usage(7, 1), first_s=0.5, total_s=0.5)
    told = numbers(summary, 0.5)
    assert told == "1 token · 7 prompt tokens · first after 0.50 s · cut at the token limit"


def test_notes_beneath_an_answer_are_not_sent_back() -> None:
    history = [question("Hi"), reply(Answer("Hello", "stopped", 0.1)), question("More")]
    assert messages(history, " Be brief. ") == (
        Message("system", "Be brief."),
        Message("user", "Hi"),
        Message("assistant", "Hello"),
        Message("user", "More"),
    )


def test_a_question_without_an_answer_is_left_out() -> None:
    failed = reply(Answer(state="failed", error=Unavailable("x")))
    assert messages([question("Lost"), failed, question("Hi")]) == (Message("user", "Hi"),)


def test_neutral_settings_are_left_to_the_server() -> None:
    assert wish(NEUTRAL)[1].members() == {"temperature": 0.3}


def test_settings_become_openai_members() -> None:
    system, options = wish(("Be brief.", 1, 9, 0.5, 3, 1, -1, 7))
    assert system == "Be brief."
    assert options.members() == {
        "temperature": 1,
        "max_tokens": 9,
        "top_p": 0.5,
        "top_k": 3,
        "presence_penalty": 1,
        "frequency_penalty": -1,
        "seed": 7,
    }
