"""Entries of tokens in the wire's shapes."""

from collections.abc import Sequence

from cloister.wire.logprobs import ChatLogprobs, CompletionLogprobs, TokenLogprob, TopLogprob
from worker.api.entries import Entry, Word


def chat_logprobs(entries: Sequence[Entry] | None) -> ChatLogprobs | None:
    """The shape of a chat; None if none were asked for."""
    return None if entries is None else ChatLogprobs(content=list(map(_token, entries)))


def completion_logprobs(entries: Sequence[Entry] | None) -> CompletionLogprobs | None:
    """The shape of a completion; None if none were asked for."""
    if entries is None:
        return None
    return CompletionLogprobs(
        tokens=[entry.word.text for entry in entries],
        token_logprobs=[entry.logprob for entry in entries],
        top_logprobs=list(map(_top, entries)),
        text_offset=[entry.offset for entry in entries],
    )


def _token(entry: Entry) -> TokenLogprob:
    assert entry.logprob is not None, "a chat does not echo its prompt"
    top = [_one(word, value) for word, value in entry.top]
    return TokenLogprob(**dict(_one(entry.word, entry.logprob)), top_logprobs=top)


def _one(word: Word, logprob: float) -> TopLogprob:
    return TopLogprob(token=word.text, logprob=logprob, bytes=list(word.data))


def _top(entry: Entry) -> dict[str, float] | None:
    """The most probable tokens, and the chosen one even if it is none of them."""
    if entry.logprob is None:
        return None
    top = {word.text: value for word, value in reversed(entry.top)}  # a twin's better value stays
    return {**dict(reversed(top.items())), entry.word.text: entry.logprob}
