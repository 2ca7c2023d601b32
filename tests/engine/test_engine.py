"""Equalities: whatever else runs, and however it is cut up, a request's tokens are the same."""

import threading
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloister.errors import Busy, InternalError, Unavailable
from tests.engine.conftest import Bench, MakeBench
from tests.engine.fakes import BrokenModel, ByteVocabulary, PagedModel
from worker.engine.limits import Limits
from worker.engine.model import context_limit
from worker.engine.request import Finish, Request, Sampling
from worker.engine.sequence import Sequence
from worker.engine.text import TextStream


def request(name: str = "a", length: int = 11, **changes: object) -> Request:
    prompt = tuple((ord(name[0]) * 7 + 3 * place) % 240 + 14 for place in range(length))
    default = Request(name, prompt, max_tokens=12, sampling=Sampling(temperature=0))
    return replace(default, **changes)  # type: ignore[arg-type]


def sampled(name: str, seed: int) -> Request:
    sampling = Sampling(temperature=1, top_p=0.9, seed=seed, frequency_penalty=0.5)
    return request(name, sampling=sampling)


def alone(bench: MakeBench, one: Request) -> list[int]:
    return bench().run(one)[0]


def test_batch_equals_alone(bench: MakeBench) -> None:
    requests = [request(name, length=5 + 6 * place) for place, name in enumerate("abcdef")]
    requests += [sampled(name, seed=7) for name in "ghi"]
    together = bench(step_tokens=64).run(*requests)
    assert together == [alone(bench, one) for one in requests]


def test_chunked_prompt_equals_prompt_at_once(bench: MakeBench) -> None:
    long = request(length=50)
    chunked = bench(step_tokens=8)
    assert chunked.run(long) == bench(step_tokens=64).run(long)
    assert len(chunked.model.steps) == 7 + 11


def test_cached_equals_fresh(bench: MakeBench) -> None:
    shared = bench()
    first = shared.run(request("a", length=30))
    second = shared.submit(request("a", length=30)).wait()
    assert [token.id for token in second] == first[0]
    assert {token.cached for token in second} == {28}
    assert shared.model.steps[12].segments[0].start == 28


def test_an_answer_is_cached_for_the_next_turn(bench: MakeBench) -> None:
    shared = bench()
    first = request("a", length=11)
    answer = shared.run(first)[0]
    turn = replace(first, id="b", prompt=(*first.prompt, *answer, 99, 98))
    assert shared.submit(turn).wait()[0].cached == 20
    assert alone(bench, turn) == shared.submit(replace(turn, id="c")).ids()


def test_requests_of_different_salts_never_share_pages(bench: MakeBench) -> None:
    shared = bench()
    shared.run(request("a", length=30, salt="alice"))
    assert shared.submit(request("a", length=30, salt="bob")).wait()[0].cached == 0
    assert shared.submit(request("a", length=30, salt="alice")).wait()[0].cached == 28


def test_preempted_equals_uninterrupted(bench: MakeBench) -> None:
    requests = [sampled(name, seed=place) for place, name in enumerate("abcd")]
    tight = bench(PagedModel(page_count=12))
    assert tight.run(*requests) == [alone(bench, one) for one in requests]
    assert tight.engine._scheduler.preemptions > 0


def test_same_seed_same_text_and_other_seed_other_text(bench: MakeBench) -> None:
    texts = bench().run(sampled("a", 1), replace(sampled("a", 1), id="b"), sampled("ac", 2))
    assert texts[0] == texts[1] != texts[2]


def test_running_answers_go_on_while_a_long_prompt_is_read(bench: MakeBench) -> None:
    busy = bench(PagedModel(page_count=100), step_tokens=8)
    busy.run(request("a", length=4, max_tokens=40), request("b", length=100, max_tokens=2))
    counts = [[len(part.tokens) for part in step.segments] for step in busy.model.steps]
    assert counts[1:13] == [[1, 7]] * 12


def test_choices_of_one_prompt_read_it_once(bench: MakeBench) -> None:
    one = bench()
    first = sampled("a", 1)
    others = [replace(sampled("a", seed), id=str(seed), prompt=first.prompt) for seed in (2, 3)]
    assert one.run(first, *others) == [alone(bench, each) for each in (first, *others)]
    prompts = [part for step in one.model.steps for part in step.segments if len(part.tokens) > 1]
    assert [(part.start, len(part.tokens)) for part in prompts] == [(0, 11), (8, 3), (8, 3)]


@given(
    count=st.integers(1, 6),
    length=st.integers(1, 40),
    page_count=st.integers(13, 40),
    step_tokens=st.integers(4, 60),
    scores=st.booleans(),
)
def test_any_number_of_choices_on_any_cache_equals_each_alone(
    count: int, length: int, page_count: int, step_tokens: int, scores: bool
) -> None:
    first = replace(sampled("a", 0), prompt=request(length=length).prompt, logprobs=1)
    choices = [replace(first, id="0", scores_prompt=scores)]
    choices += [
        replace(first, id=str(seed), sampling=replace(first.sampling, seed=seed))
        for seed in range(1, count)
    ]
    one = Bench(PagedModel(page_count), Limits(step_tokens=step_tokens, sequences=4))
    reference = Bench(PagedModel(400), Limits(sequences=1))
    try:
        assert one.run(*choices) == reference.run(*choices)
    finally:
        one.engine.close()
        reference.engine.close()


def test_choices_that_wait_for_a_shared_prompt_let_others_pass(bench: MakeBench) -> None:
    one = bench(step_tokens=8)
    first = request("a", length=60)
    one.run(first, replace(first, id="a2"), request("b", length=4, max_tokens=1))
    sharing = [part.start for step in one.model.steps for part in step.segments if part.logits]
    assert sharing.index(0) < 4  # b's prompt is read before the second choice begins
    assert 56 in sharing


def test_cancelled_first_choice_leaves_the_prompt_to_the_next(bench: MakeBench) -> None:
    one = bench()
    first = request("a", length=30)
    one.submit(first)
    second = one.submit(replace(first, id="a2"))
    one.engine.cancel("a")
    one.engine.start()
    assert second.ids() == alone(bench, first)


def test_shared_prompt_counts_once_in_the_queue(bench: MakeBench) -> None:
    one = bench(queued_tokens=100)
    first = request("a", length=60)
    one.submit(first)
    one.submit(replace(first, id="a2"))
    one.submit(request("c", length=40))
    with pytest.raises(Busy):
        one.submit(request("d", length=1))


def test_min_tokens_keeps_stop_ids_away(bench: MakeBench) -> None:
    ids = alone(bench, request())
    ends = frozenset(ids[:3])
    longer = alone(bench, request(stop_ids=ends, min_tokens=5))
    assert len(longer) >= 5
    assert ends.isdisjoint(longer[:5])
    assert alone(bench, request(stop_ids=ends)) == ids[:1]


def test_min_tokens_passes_stop_strings_over() -> None:
    asked = request(stop=("b",), min_tokens=3, max_tokens=9)
    one = Sequence(asked, lambda _: None, TextStream(ByteVocabulary(), asked.stop), 0, [1] * 11)
    texts = [one.accept(id) for id in b"abbcb"]
    assert texts == ["a", "b", "b", "c", ""]
    assert one.finish is Finish.STOP


def test_stop_id_ends_the_answer_and_leaves_no_text(bench: MakeBench) -> None:
    ids = alone(bench, request())
    last = bench()
    answer = last.submit(request(stop_ids=frozenset([ids[4]])))
    last.engine.start()
    tokens = answer.wait()
    assert [token.id for token in tokens] == ids[:5]
    assert tokens[-1].finish is Finish.STOP
    whole = bytes(id for id in ids[:4] if id < 256).decode(errors="replace").rstrip("\ufffd")
    assert "".join(token.text for token in tokens) == whole


def test_max_tokens_ends_with_length(bench: MakeBench) -> None:
    one = bench()
    answer = one.submit(request(max_tokens=3))
    one.engine.start()
    assert [token.finish for token in answer.wait()] == [None, None, Finish.LENGTH]


def test_cancelled_request_frees_its_pages_within_one_step(bench: MakeBench) -> None:
    one = bench()
    heard = threading.Event()

    def cancel_at_once(event: object) -> None:
        one.engine.cancel("a")
        heard.set()

    one.engine.submit(request("a", max_tokens=100), cancel_at_once)
    one.engine.start()
    assert heard.wait(10)
    other = one.submit(request("b", max_tokens=1))
    other.wait()
    one.engine.check()
    assert one.engine.load().pages_used == 0
    assert sum(len(step.segments) for step in one.model.steps) <= 3


def test_waiting_request_can_be_cancelled(bench: MakeBench) -> None:
    one = bench()
    one.submit(request("a"))
    one.engine.cancel("a")
    one.engine.cancel("unknown")
    one.run(request("b"))
    assert one.engine.load().queued_requests == 0
    assert len(one.model.steps) == 12


def test_full_queue_is_refused_in_requests(bench: MakeBench) -> None:
    one = bench(queued_requests=2)
    one.submit(request("a"))
    one.submit(request("b"))
    with pytest.raises(Busy, match="2 requests wait, the limit is 2") as refusal:
        one.submit(request("c"))
    assert 1 <= refusal.value.retry_after_s <= 120


def test_full_queue_is_refused_in_tokens(bench: MakeBench) -> None:
    one = bench(queued_tokens=100)
    one.submit(request("a", length=60))
    with pytest.raises(Busy, match=r"60 prompt tokens wait, .* limit of 100"):
        one.submit(request("b", length=41))
    one.submit(request("c", length=40))


def test_200_requests_at_once_on_a_two_page_cache(bench: MakeBench) -> None:
    model = PagedModel(page_count=2, page_size=16)
    one = bench(model)
    assert context_limit(model) == 32
    requests = [request(f"{name}{place}") for place in range(20) for name in "abcdefghij"]
    answers = one.run(*requests)
    assert all(len(answer) == 12 for answer in answers)
    assert one.engine.load().pages_used == 0


def test_failed_step_is_told_without_detail_and_the_others_go_on(
    bench: MakeBench, caplog: pytest.LogCaptureFixture
) -> None:
    one = bench(BrokenModel(), sequences=1, step_tokens=64)
    bad = one.submit(replace(request("a"), prompt=(13,)))
    good = one.submit(request("b"))
    one.engine.start()
    with pytest.raises(InternalError) as error:
        bad.wait()
    assert len(good.ids()) == 12
    assert "secret" not in caplog.text + str(error.value)
    one.engine.check()


def test_closing_tells_everyone(bench: MakeBench) -> None:
    one = bench(PagedModel(page_count=5_100, context_length=20_100))
    answer = one.submit(request("a", length=3, max_tokens=20_000))  # not done before the close
    one.engine.start()
    one.engine.close()
    with pytest.raises(Unavailable):
        answer.wait()
    with pytest.raises(Unavailable):
        one.submit(request("b"))
    one.engine.check()


def test_load_counts_what_waits_and_runs(bench: MakeBench) -> None:
    one = bench()
    one.submit(request("a", length=10))
    one.submit(request("b", length=20))
    load = one.engine.load()
    assert (load.queued_requests, load.running_requests, load.queued_tokens) == (2, 0, 30)
    assert (load.pages_used, load.pages_total, load.tokens_per_s) == (0, 64, 0)


@given(
    lengths=st.lists(st.integers(1, 40), min_size=1, max_size=8),
    page_count=st.integers(13, 40),
    step_tokens=st.integers(4, 60),
    twins=st.booleans(),
)
def test_any_mix_gives_each_its_own_answer_and_loses_no_page(
    lengths: list[int], page_count: int, step_tokens: int, twins: bool
) -> None:
    names = "aaaaaaaa" if twins else "abcdefgh"
    requests = [
        replace(request(names[place], length=length), id=str(place))
        for place, length in enumerate(lengths)
    ]
    one = Bench(PagedModel(page_count), Limits(step_tokens=step_tokens, sequences=4))
    reference = Bench(PagedModel(400), Limits(sequences=1))
    try:
        assert one.run(*requests) == reference.run(*requests)
    finally:
        one.engine.close()
        reference.engine.close()
