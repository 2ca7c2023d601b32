"""Log-probabilities: those of transformers, whatever else runs, and aligned with the text."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from tests.engine.conftest import Bench, MakeBench
from tests.engine.fakes import ByteVocabulary, PagedModel
from tests.engine.test_engine import request
from tests.model.checkpoints import config_of, ours, prompt, reference_logits, save
from worker.engine.limits import Limits
from worker.engine.logprobs import Query, logprobs
from worker.engine.request import Finish, Request, Sampling, Token
from worker.engine.sequence import Sequence
from worker.engine.text import TextStream

SAMPLING = Sampling(temperature=1.3, top_k=5, presence_penalty=1, bias=((7, 3.0),), seed=4)


def scored(**changes: object) -> Request:
    return request(length=30, logprobs=3, sampling=SAMPLING, **changes)


def told(tokens: list[Token]) -> list[object]:
    return [(token.id, token.text, token.logprob, token.settled) for token in tokens]


def waited(bench: Bench, *requests: Request) -> list[list[Token]]:
    answers = [bench.submit(one) for one in requests]
    bench.engine.start()
    return [answer.wait() for answer in answers]


def assert_values(found: list[float], expected: Tensor) -> None:
    assert torch.allclose(torch.tensor(found), expected, atol=2e-4)


def test_values_are_those_of_transformers(tmp_path: Path) -> None:
    model = save(config_of("Llama"), tmp_path)
    decoder = ours(tmp_path)
    asked = Request("a", prompt(150), 9, SAMPLING, logprobs=4, scores_prompt=True)
    bench = Bench(decoder, Limits(sequences=2, step_tokens=40))  # type: ignore[arg-type]
    try:
        tokens = waited(bench, asked)[0]
    finally:
        bench.engine.close()
    text = [*asked.prompt, *(token.id for token in tokens)]
    rows = reference_logits(model, text[:-1]).log_softmax(-1)
    entries = [*tokens[0].prompt, *(token.logprob for token in tokens if token.logprob)]
    assert len(entries) == len(text) - 1
    own = rows.gather(-1, torch.tensor(text[1:]).unsqueeze(-1)).squeeze(-1)
    assert_values([entry.value for entry in entries], own)
    best = torch.tensor([[value for _, value in entry.top] for entry in entries])
    assert torch.allclose(best, rows.topk(4).values, atol=2e-4)
    top_ids = torch.tensor([[id for id, _ in entry.top] for entry in entries])
    assert torch.allclose(rows.gather(-1, top_ids), best, atol=2e-4)


def test_each_query_gets_as_many_alternatives_as_it_asks_for() -> None:
    logits = torch.tensor([[1.0, 3.0, 2.0], [0.0, 0.0, 5.0]])
    found = logprobs(logits, [Query(1, 0, 1), Query(0, 2, 0), Query(0, 1, 9)])
    assert [[id for id, _ in one.top] for one in found] == [[2], [], [1, 2, 0]]
    assert [one.value for one in found] == pytest.approx(
        [float(logits.log_softmax(-1)[row, id]) for row, id in [(1, 0), (0, 2), (0, 1)]]
    )


def test_batch_equals_alone(bench: MakeBench) -> None:
    requests = [replace(scored(), id=str(place), logprobs=place) for place in range(4)]
    requests += [request("b"), scored(id="p", scores_prompt=True)]
    together = waited(bench(step_tokens=64), *requests)
    alone = [waited(bench(), one)[0] for one in requests]
    assert [told(tokens) for tokens in together] == [told(tokens) for tokens in alone]
    assert together[-1][0].prompt == alone[-1][0].prompt


def test_choices_do_not_depend_on_being_told(bench: MakeBench) -> None:
    asked = scored(scores_prompt=True)
    silent = replace(asked, logprobs=None, scores_prompt=False)
    loud, quiet = waited(bench(), asked)[0], waited(bench(), silent)[0]
    assert [token.id for token in loud] == [token.id for token in quiet]
    assert all((token.logprob, token.settled, token.prompt) == (None, 0, ()) for token in quiet)


@pytest.mark.parametrize("way", ["chunked", "cached", "preempted"])
def test_prompt_is_scored_wherever_its_pages_come_from(way: str, bench: MakeBench) -> None:
    asked = request("a", length=150, max_tokens=4, logprobs=2, scores_prompt=True)
    model = PagedModel(page_count=41 if way == "preempted" else 90)
    one = bench(model, step_tokens=400 if way == "cached" else 9)
    others = [request("b", length=8, max_tokens=40)] if way == "preempted" else []
    if way == "cached":
        one.submit(replace(asked, id="before", scores_prompt=False))
    *_, tokens = waited(one, *others, asked)
    alone = waited(bench(PagedModel(page_count=90), step_tokens=400), asked)[0]
    assert len(tokens[0].prompt) == 149
    assert tokens[0].prompt == alone[0].prompt
    assert tokens[0].cached == 0
    assert (one.engine._scheduler.preemptions > 0) == (way == "preempted")
    assert max(part.logits for step in one.model.steps for part in step.segments) <= 65


def test_tokens_of_a_kept_stop_string_settle() -> None:
    one = sequence(("bc",), max_tokens=9, keeps_stop=True)
    assert [one.accept(id) for id in b"abc"] == ["a", "", "bc"]
    assert one.settled == 3


def sequence(stop: tuple[str, ...] = (), *, max_tokens: int, keeps_stop: bool = False) -> Sequence:
    asked = request(prompt=(1,), stop=stop, stop_ids=frozenset([256]), logprobs=0)
    asked = replace(asked, max_tokens=max_tokens)
    return Sequence(
        asked, lambda _: None, TextStream(ByteVocabulary(), stop, keeps_stop=keeps_stop), 0, [1]
    )


@given(st.text(max_size=30), st.lists(st.text("ab\u00e9", min_size=1, max_size=3), max_size=2))
def test_settled_tokens_are_those_of_the_text_so_far(text: str, stops: list[str]) -> None:
    one = sequence(tuple(stops), max_tokens=500)
    data, shown = [*text.encode(), 256], ""
    for id in data:
        shown += one.accept(id)
        settled = bytes(data[: one.settled])
        assert settled == shown.encode()
        if one.finish:
            break
    assert one.finish is Finish.STOP
    cut = min((text.find(stop) for stop in stops if stop in text), default=len(text))
    assert shown == text[:cut].rstrip("\ufffd") or "\ufffd" in text


def test_token_of_half_a_character_settles_at_the_limit() -> None:
    one = sequence(max_tokens=2)
    assert [one.accept(id) for id in (65, 0xF0)] == ["A", ""]
    assert (one.finish, one.settled) == (Finish.LENGTH, 2)
