"""Drafts change nothing but the time: the same tokens, texts, scores and pages as without them."""

import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from cloister.errors import BadRequest
from tests.engine.conftest import Bench, MakeBench
from tests.engine.fakes import ByteVocabulary, PagedModel
from tests.engine.test_engine import request, sampled
from worker.engine.draft_model import DraftModel
from worker.engine.drafting import Drafting
from worker.engine.drafts import Drafter, Forced, Lookup, Wish
from worker.engine.limits import Limits
from worker.engine.pages import Pages
from worker.engine.request import Grammar, Request, Sampling, Token
from worker.engine.scheduler import Scheduler
from worker.engine.sequence import Sequence
from worker.engine.step import Segment, Step
from worker.engine.text import TextStream


@dataclass
class Prophet:
    """Knows the answers by request id, and errs at one guess in `errs` (0: never)."""

    answers: dict[str, list[int]]
    errs: int = 0
    most: int = 5

    def __post_init__(self) -> None:
        self.random = random.Random(1)
        self.forgotten: list[str] = []

    def grade(self, sequence: Sequence) -> int:
        return 1

    def draft(self, wishes: Iterable[Wish]) -> list[list[int]]:
        return [self._guess(wish) for wish in wishes]

    def forget(self, sequence: Sequence) -> None:
        self.forgotten.append(sequence.request.id)

    def _guess(self, wish: Wish) -> list[int]:
        done, answer = wish.sequence.generated, self.answers[wish.sequence.request.id]
        guesses = [*answer[done : done + wish.most], 7, 7, 7, 7, 7][: wish.most]
        wrong = [self.errs > 0 and self.random.randrange(self.errs) == 0 for _ in guesses]
        return [id ^ 1 if is_wrong else id for id, is_wrong in zip(guesses, wrong, strict=True)]


class Always(Prophet):
    """Guesses nonsense."""

    def _guess(self, wish: Wish) -> list[int]:
        return [1] * wish.most


@pytest.fixture(autouse=True)
def drafts_always_pay(monkeypatch: pytest.MonkeyPatch) -> None:
    """Draft in each step, however bad the guesses are."""
    monkeypatch.setattr("worker.engine.worth.Odds.may_look", lambda *_: True)
    monkeypatch.setattr("worker.engine.worth.Odds.may_guess", lambda odds, _: odds.grade > 0)
    monkeypatch.setattr("worker.engine.drafting.lengths", lambda odds, _, most: [most] * len(odds))


def heard(bench: Bench, *requests: Request) -> list[list[Token]]:
    answers = [bench.submit(one) for one in requests]
    bench.engine.start()
    tokens = [answer.wait() for answer in answers]
    bench.engine.check()
    return tokens


def stripped(tokens: list[Token]) -> list[Token]:
    """What pages a prompt found in the cache depends on when it came, with and without drafts."""
    return [replace(token, cached=0) for token in tokens]


class Thirds:
    """Rules by which each token's rest by 3 follows from those before it, up to nine tokens."""

    doubtful = False

    def __init__(self, fails_at: int = 99) -> None:
        self.fails_at = fails_at
        self.taken: list[int] = []

    def begin(self) -> "Thirds":
        return Thirds(self.fails_at)

    @property
    def complete(self) -> bool:
        return len(self.taken) == 9

    def forced(self) -> tuple[int, ...]:
        return ()

    def allowed(self) -> bytes:
        if len(self.taken) == self.fails_at:
            raise BadRequest("too complex")
        wanted = sum(self.taken) % 3
        bits = sum(1 << id for id in range(257) if id % 3 == wanted and not self.complete)
        return bits.to_bytes(33, "little")

    def take(self, token: int) -> bool:
        is_allowed = bool(self.allowed()[token // 8] >> token % 8 & 1)
        self.taken += [token] if is_allowed else []
        return is_allowed


SAMPLED = Sampling(temperature=1.2, top_p=0.9, seed=5, frequency_penalty=0.5, bias=((65, 2.0),))
KINDS = {
    "greedy": request(),
    "sampled": request(sampling=SAMPLED),
    "penalties": request(sampling=Sampling(0, repetition_penalty=1.4, presence_penalty=1)),
    "top-k": request(sampling=Sampling(0.7, top_k=3, min_p=0.1, seed=9)),
    "told": request(logprobs=3),
    "scored": request(length=30, logprobs=2, scores_prompt=True),
    "held": request(grammar=Thirds(), max_tokens=20),
    "held, sampled": request(grammar=Thirds(), max_tokens=20, sampling=SAMPLED),
    "held, cut": request(grammar=Thirds(), max_tokens=7, logprobs=1),
    "one token": request(max_tokens=1),
    "two tokens": request(max_tokens=2),
    "context": request(length=30, max_tokens=170),
    "stop ids": request(stop_ids=frozenset(range(100)), min_tokens=9, max_tokens=40),
    "stop strings": request(stop=("\u0000", "a", "b", "c", "d", "e", "f"), max_tokens=60),
}


@pytest.mark.parametrize("errs", [0, 2])
@pytest.mark.parametrize("kind", KINDS)
def test_a_drafted_answer_is_the_same(kind: str, errs: int, bench: MakeBench) -> None:
    asked = KINDS[kind]
    [expected] = heard(bench(), asked)
    prophet = Prophet({asked.id: [token.id for token in expected]}, errs)
    drafted = bench(drafter=prophet)
    assert heard(drafted, asked) == [expected]
    assert prophet.forgotten == [asked.id]
    load = drafted.engine.load()
    assert load.pages_used == 0
    if errs == 0 and len(expected) > 5:
        assert len(drafted.model.steps) < len(expected) / 2
        assert load.accepted_tokens > len(expected) / 2


def test_drafting_and_other_sequences_share_steps(bench: MakeBench) -> None:
    requests = [replace(one, id=kind) for kind, one in KINDS.items()]
    expected = heard(bench(), *requests)
    answers = {
        kind: [token.id for token in tokens] for kind, tokens in zip(KINDS, expected, strict=True)
    }
    half = {kind: ids if place % 2 else [] for place, (kind, ids) in enumerate(answers.items())}
    found = heard(bench(drafter=Prophet(half, errs=4)), *requests)
    assert list(map(stripped, found)) == list(map(stripped, expected))


@settings(max_examples=40)
@given(
    lengths=st.lists(st.integers(1, 40), min_size=1, max_size=6),
    page_count=st.integers(13, 40),
    step_tokens=st.integers(4, 60),
    errs=st.integers(0, 5),
    twins=st.booleans(),
)
def test_any_mix_on_any_cache_says_the_same_and_loses_no_page(
    lengths: list[int], page_count: int, step_tokens: int, errs: int, twins: bool
) -> None:
    requests = [
        replace(sampled("a" if twins else "abcdef"[place], place), id=str(place))
        for place in range(len(lengths))
    ]
    requests = [
        replace(one, prompt=(one.prompt * 4)[:length])
        for one, length in zip(requests, lengths, strict=True)
    ]
    reference = Bench(PagedModel(400), Limits(sequences=1))
    try:
        expected = reference.run(*requests)
        answers = {one.id: ids for one, ids in zip(requests, expected, strict=True)}
        one = Bench(
            PagedModel(page_count),
            Limits(step_tokens=step_tokens, sequences=4),
            Prophet(answers, errs),
        )
        assert one.run(*requests) == expected
        assert one.engine.load().pages_used == 0
    finally:
        one.engine.close()
        reference.engine.close()


def test_choices_of_one_prompt_draft_each_for_itself(bench: MakeBench) -> None:
    first = sampled("a", 1)
    choices = [replace(sampled("a", seed), id=str(seed), prompt=first.prompt) for seed in (2, 3)]
    expected = bench().run(first, *choices)
    answers = dict(zip(["a", "2", "3"], expected, strict=True))
    assert bench(drafter=Prophet(answers, errs=3)).run(first, *choices) == expected


def test_the_prefix_cache_never_holds_a_wrong_guess(bench: MakeBench) -> None:
    first = request("a", max_tokens=30)
    shared = bench(drafter=Always({}))
    answer = shared.run(first)[0]
    turn = replace(first, id="b", prompt=(*first.prompt, *answer, 99, 98))
    assert shared.submit(turn).wait()[0].cached == 40
    guessed = replace(turn, id="c", prompt=(*first.prompt, *answer[:5], 1, 1, 1, 1, 1, 1, 1))
    assert shared.submit(guessed).wait()[0].cached == 16
    assert shared.submit(replace(turn, id="d")).ids() == bench().run(turn)[0]


def test_pages_of_wrong_guesses_are_free_after_the_step() -> None:
    scheduler = Scheduler(Pages(10, 4), Limits(), Drafting(Always({}, most=8)))
    sequence = Sequence(request(), lambda _: None, TextStream(ByteVocabulary()), 0, list(range(11)))
    scheduler.waiting.append(sequence)
    scheduler.commit(scheduler.plan().shares[0])
    sequence.accept(1)
    share = scheduler.plan().shares[0]
    assert (share.count, share.room, len(sequence.pages)) == (1, 8, 5)
    sequence.accept(2)
    scheduler.commit(share)
    assert (sequence.computed, len(sequence.pages)) == (12, 3)
    scheduler.check()


def test_drafts_take_no_page_and_no_row_from_others() -> None:
    limits = Limits(step_tokens=12, sequences=3)
    scheduler = Scheduler(Pages(8, 4), limits, Drafting(Always({})))
    for order, length in enumerate((8, 3, 30)):
        tokens = list(range(length))
        text = TextStream(ByteVocabulary())
        asked = replace(request(length=length), id=str(order))
        scheduler.waiting.append(Sequence(asked, lambda _: None, text, order, tokens))
    for share in scheduler.plan().shares:
        scheduler.commit(share)
    first, second = scheduler.running
    first.accept(1)
    second.accept(1)
    assert [(share.count, share.room) for share in scheduler.plan().shares] == [(1, 5), (1, 5)]
    scheduler.limits = replace(limits, step_tokens=4)
    assert [(share.count, share.room) for share in scheduler.plan().shares] == [(1, 2), (1, 0)]


def test_a_grammar_that_fails_behind_drafts_fails_at_the_same_token(bench: MakeBench) -> None:
    asked = replace(request(), grammar=Thirds(fails_at=7))
    plain, drafted = bench(), bench(drafter=Prophet({"a": answer_of(bench, Thirds())}))
    for one in (plain, drafted):
        answer = one.submit(asked)
        one.engine.start()
        with pytest.raises(BadRequest, match="too complex"):
            answer.wait()
        one.engine.check()
    assert drafted.engine.load().accepted_tokens > 0
    assert drafted.engine.load().pages_used == 0


def answer_of(bench: MakeBench, grammar: Grammar) -> list[int]:
    return bench().run(replace(request(), grammar=grammar))[0]


class Chain(PagedModel):
    """Three tokens; which comes next depends on the last one alone."""

    vocabulary_size = 3
    rows = torch.tensor([[0.5, 0.3, 0.2], [0.1, 0.6, 0.3], [0.25, 0.25, 0.5]]).log()

    def _rows(self, segment: Segment) -> Iterator[Tensor]:
        for token in segment.tokens[len(segment.tokens) - segment.logits :]:
            yield self.rows[token]


@pytest.mark.parametrize("drafter", [Lookup(4), Always({}, most=2)])
def test_drafted_samples_follow_the_distribution(drafter: Drafter, bench: MakeBench) -> None:
    """Chi-square of the joint distribution of four tokens, against the exact one."""
    count, start = 1200, 0
    requests = [
        Request(f"{seed}", (0, 1, start), 4, Sampling(temperature=1, seed=seed))
        for seed in range(count)
    ]
    it = bench(Chain(page_count=400), drafter=drafter, sequences=64, queued_requests=count)
    answers = torch.tensor(it.run(*requests))
    assert it.engine.load().accepted_tokens > count / 5
    chain = Chain.rows.double().exp()
    expected = torch.einsum("a,ab,bc,cd->abcd", chain[start], chain, chain, chain).flatten() * count
    places = answers @ torch.tensor([27, 9, 3, 1])
    counts = torch.bincount(places, minlength=81)
    assert ((counts - expected) ** 2 / expected).sum() < 138  # 80 degrees of freedom: p < 1e-4


def look_up(text: str, most: int = 4) -> str:
    tokens = [ord(letter) for letter in text]
    asked = replace(request(), prompt=tuple(tokens))
    sequence = Sequence(asked, lambda _: None, TextStream(ByteVocabulary()), 0, tokens)
    [guesses] = Lookup(most).draft([Wish(sequence, most)])
    return "".join(map(chr, guesses))


@pytest.mark.parametrize(
    ("text", "guess"),
    [
        ("the tea is hot, the t", "ea i"),
        ("abcX bcY bc", "Y bc"),  # the latest of the longest common ends
        ("abcX.bcY.abc", "X.bc"),
        ("abc, c", ", c,"),
        ("abc, cb, c", "b, c"),
        ("abX abY cb", ""),  # a single token that is frequent foretells nothing
        ("xyz", ""),
        ("x", ""),
        ("no no", " no "),
        ("aaaa", "aaaa"),  # a repetition goes on
    ],
)
def test_lookup_goes_on_as_the_text_did_before(text: str, guess: str) -> None:
    assert look_up(text) == guess


def test_lookup_grades_a_guess_by_the_common_end() -> None:
    for text, grade in (
        ("xyz", 0),
        ("abXb", 1),
        ("abXbYb", 0),
        ("abXab", 2),
        ("a long, a long", 3),
    ):
        tokens = [ord(letter) for letter in text]
        sequence = Sequence(request(), lambda _: None, TextStream(ByteVocabulary()), 0, tokens)
        assert Lookup(4).grade(sequence) == grade


class Spelled(Thirds):
    """Knows its next tokens, as text that is forced would be."""

    def __init__(self, answer: list[int]) -> None:
        super().__init__()
        self.answer = answer

    def begin(self) -> "Spelled":
        return Spelled(self.answer)

    def forced(self) -> tuple[int, ...]:
        return tuple(self.answer[len(self.taken) :]) if len(self.taken) % 4 else ()


@pytest.mark.parametrize("sampling", [Sampling(temperature=0), SAMPLED])
def test_forced_text_is_guessed_and_changes_nothing(sampling: Sampling, bench: MakeBench) -> None:
    asked = request(grammar=Thirds(), max_tokens=20, sampling=sampling)
    [expected] = heard(bench(), asked)
    answer = [token.id for token in expected]
    for guessed in (answer, [1, *answer]):
        drafted = bench(drafter=Forced(Lookup(4)))
        assert heard(drafted, replace(asked, grammar=Spelled(guessed))) == [expected]
        load = drafted.engine.load()
        assert (load.accepted_tokens > 4) == (guessed == answer)


def test_lookup_forgets_what_has_ended(bench: MakeBench) -> None:
    lookup = Lookup(4)
    bench(drafter=lookup).run(request("a"), request("b"))
    assert lookup._pasts == {}


def draft_model(page_count: int = 64, step_tokens: int = 512, size: int = 257) -> DraftModel:
    small = PagedModel(page_count, context_length=60)
    small.vocabulary_size = size
    return DraftModel(small, vocabulary_size=257, most=4, step_tokens=step_tokens)


@pytest.mark.parametrize("kind", KINDS)
def test_an_equal_draft_model_is_always_right(kind: str, bench: MakeBench) -> None:
    asked = KINDS[kind]
    drafter = draft_model()
    one = bench(drafter=drafter)
    assert heard(one, asked) == heard(bench(), asked)
    load = one.engine.load()
    free = asked.max_tokens <= 12 and asked.grammar is None  # it knows neither ends nor rules
    assert load.drafted_tokens == load.accepted_tokens or not free
    drafter.check()
    assert drafter._pages.used == 0


@pytest.mark.parametrize(
    "small", [{}, {"page_count": 9}, {"step_tokens": 8}, {"size": 200}, {"size": 300}]
)
def test_draft_model_of_any_size_changes_no_token(small: dict[str, int], bench: MakeBench) -> None:
    requests = [sampled(name, seed=place) for place, name in enumerate("abcd")]
    requests += [request("e", length=60), request("f", length=35, max_tokens=50)]
    drafter = draft_model(**small)
    tight = bench(PagedModel(page_count=30), drafter=drafter, step_tokens=24)
    assert tight.run(*requests) == bench().run(*requests)
    assert tight.engine.load().accepted_tokens > 0
    drafter.check()
    assert drafter._pages.used == 0


class Broken(PagedModel):
    def forward(self, step: Step) -> Tensor:
        raise RuntimeError("secret detail")


def test_broken_draft_model_fails_its_step_and_no_more(
    bench: MakeBench, caplog: pytest.LogCaptureFixture
) -> None:
    drafter = DraftModel(Broken(), vocabulary_size=257, most=4, step_tokens=64)
    one = bench(drafter=drafter)
    answer = one.submit(request())
    one.engine.start()
    with pytest.raises(Exception, match="failed") as error:
        answer.wait()
    assert "secret" not in caplog.text + str(error.value)
    assert len(one.submit(request("b", max_tokens=1)).ids()) == 1
    one.engine.check()
    drafter.check()
    assert drafter._pages.used == 0
