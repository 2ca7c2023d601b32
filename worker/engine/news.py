"""What the listeners of requests hear of a step, told when it is over."""

from worker.engine.request import NO_ID, Event, Finish, Listener, Logprob, Token
from worker.engine.sequence import Sequence

News = list[tuple[Listener, Event]]


def tell_token(sequence: Sequence, id: int, text: str, logprob: Logprob | None) -> Token:
    """The newest token of a sequence, which has accepted it."""
    return Token(
        id=id,
        text=text,
        finish=sequence.finish,
        generated=sequence.generated,
        cached=sequence.cached,
        logprob=logprob,
        settled=sequence.settled,
        prompt=tuple(sequence.scores) if sequence.generated == 1 else (),
        stop_string=sequence.text.stop_string,
    )


def tell_vector(values: list[float], cached: int) -> Token:
    """The vector of a prompt."""
    finish, vector = Finish.STOP, tuple(values)
    return Token(NO_ID, "", finish, generated=0, cached=cached, vector=vector)


def deliver(news: News) -> None:
    for listener, event in news:
        listener(event)
