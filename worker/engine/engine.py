"""The engine: one thread, one loop, plan -> forward -> choose -> commit."""

import itertools
import logging
import threading
import time
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from cloister.errors import Busy, CloisterError, InternalError, Unavailable
from worker.engine.choices import Choice, Draw, choose
from worker.engine.drafts import OFF, Drafter, Wish
from worker.engine.limits import Limits
from worker.engine.logprobs import logprobs, queries
from worker.engine.masks import Masks
from worker.engine.meter import Meter
from worker.engine.model import Model, context_limit
from worker.engine.pages import Pages
from worker.engine.request import (
    NO_ID,
    Event,
    Finish,
    Listener,
    Load,
    Logprob,
    Request,
    Token,
    Vocabulary,
)
from worker.engine.sampler import Pick
from worker.engine.scheduler import Plan, Scheduler, Share
from worker.engine.sequence import Sequence
from worker.engine.text import TextStream
from worker.kernels.draw import draw

logger = logging.getLogger(__name__)

News = list[tuple[Listener, Event]]


class InferenceEngine:
    """Runs requests in flight together on one model. Satisfies `worker.engine.request.Engine`.

    The lock guards the scheduler; it is never held while the model computes or a listener runs.
    """

    def __init__(
        self,
        model: Model,
        vocabulary: Vocabulary,
        limits: Limits,
        drafter: Drafter = OFF,
        clock: Callable[[], float] = time.monotonic,
        draw: Draw = draw,
    ) -> None:
        self._model = model
        self._draw = draw
        self._vocabulary = vocabulary
        self._limits = limits
        self._drafter = drafter
        pages = Pages(model.page_count, model.page_size)
        self._scheduler = Scheduler(pages, limits, drafter)
        self._sequences: dict[str, Sequence] = {}
        self._cancelled: set[str] = set()
        self._order = itertools.count()
        self._masks = Masks(model.vocabulary_size)
        self._meter = Meter()
        self._drafted = 0
        self._accepted = 0
        self._clock = clock
        self._work = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def submit(self, request: Request, listener: Listener) -> None:
        """Queue a request.

        Raises:
            Busy: too many requests, or too many prompt tokens, wait already.
            Unavailable: the engine is closed.
        """
        assert request.prompt, "the API refuses an empty prompt"
        assert request.logprobs is not None or not request.scores_prompt
        assert request.grammar is None or not request.min_tokens, "a grammar may have to end"
        assert len(request.prompt) + request.max_tokens <= context_limit(self._model)
        with self._work:
            self._admit(request)
            text = TextStream(self._vocabulary, request.stop, keeps_stop=request.keeps_stop)
            tokens = list(request.prompt)
            sequence = Sequence(request, listener, text, next(self._order), tokens)
            self._sequences[request.id] = sequence
            self._scheduler.waiting.append(sequence)
            self._work.notify()

    def cancel(self, request_id: str) -> None:
        """Forget a request; its pages are free within one step. Unknown ids are no error."""
        with self._work:
            if request_id in self._sequences:
                self._cancelled.add(request_id)
                self._work.notify()

    def load(self) -> Load:
        """Numbers of this moment."""
        with self._work:
            return self._load()

    def close(self) -> None:
        """Stop after the step under way; unfinished requests hear `Unavailable`."""
        with self._work:
            self._closed = True
            self._work.notify()
        if self._thread.is_alive():
            self._thread.join()
        self._masks.close()

    def check(self) -> None:
        """Prove that pages are counted exactly and that no sequence is lost."""
        with self._work:
            self._scheduler.check()
            living = {*self._scheduler.waiting, *self._scheduler.running}
            assert living == set(self._sequences.values())

    def _admit(self, request: Request) -> None:
        if self._closed:
            raise Unavailable("this worker is shutting down")
        waiting = self._scheduler.waiting
        limits = self._limits
        if len(waiting) >= limits.queued_requests:
            raise self._busy(f"{len(waiting)} requests wait, the limit is {limits.queued_requests}")
        prompts = {id(sequence.request.prompt): sequence.wanted for sequence in waiting}
        tokens = sum(prompts.values())
        new = 0 if id(request.prompt) in prompts else len(request.prompt)
        if waiting and tokens + new > limits.queued_tokens:
            raise self._busy(
                f"{tokens} prompt tokens wait, with this request the limit of "
                f"{limits.queued_tokens} is passed",
                min(tokens, tokens + new - limits.queued_tokens),
            )

    def _busy(self, reason: str, tokens: int = 0) -> Busy:
        """Full; `tokens` must be computed, or one sequence must end, before there is a place."""
        load = self._load()
        if tokens or not self._meter.ends_per_s:
            everyone = max(1, len(self._sequences))
            ahead = tokens or (load.queued_tokens + load.running_tokens) / everyone
            return Busy(f"queue full: {reason}", retry_after_s=ahead / max(1.0, load.tokens_per_s))
        return Busy(f"queue full: {reason}", retry_after_s=1 / self._meter.ends_per_s)

    def _load(self) -> Load:
        scheduler = self._scheduler
        everyone = [*scheduler.waiting, *scheduler.running]
        return Load(
            queued_requests=len(scheduler.waiting),
            running_requests=len(scheduler.running),
            queued_tokens=sum(sequence.wanted for sequence in everyone if sequence.in_prompt),
            running_tokens=sum(sequence.remaining for sequence in scheduler.running),
            tokens_per_s=self._meter.tokens_per_s,
            pages_used=scheduler.pages.used,
            pages_total=scheduler.pages.count,
            drafted_tokens=self._drafted,
            accepted_tokens=self._accepted,
        )

    @torch.inference_mode()
    def _run(self) -> None:
        while (plan := self._next_plan()) is not None:
            try:
                news = self._step(plan)
            except Exception as error:
                news = self._fail(plan, error)
            _deliver(news)
        _deliver(self._abandon())

    def _next_plan(self) -> Plan | None:
        """Wait for work; None when the engine is closed."""
        with self._work:
            while not self._closed:
                self._drop_cancelled()
                plan = self._scheduler.plan()
                if plan.shares:
                    return plan
                self._work.wait()
            return None

    def _step(self, plan: Plan) -> News:
        started = self._clock()
        plan = self._guess(plan)
        masks = self._masks.begin(plan.masked)
        logits = self._model.forward(plan.step())
        if plan.wants_vectors:
            return self._tell(plan, logits, self._clock() - started)
        rows = plan.choice_rows
        last = logits if len(logits) == len(rows) else logits[rows]
        masks.result()
        choices = choose(last, [_pick(share) for share in plan.completing], self._draw)
        asked = queries(plan, [choice.ids for choice in choices])
        scores = iter(logprobs(logits, list(asked)))
        return self._commit(plan, choices, scores, self._clock() - started)

    def _guess(self, plan: Plan) -> Plan:
        """Put guesses where the plan has room for them."""
        wishes = [Wish(share.sequence, share.room) for share in plan.drafting]
        return plan.with_drafts(self._drafter.draft(wishes)) if wishes else plan

    def _tell(self, plan: Plan, vectors: Tensor, seconds: float) -> News:
        """Count a step of an embedding model; `vectors` by row of the completing sequences."""
        if not bool(torch.isfinite(vectors).all()):
            raise FloatingPointError("the model's vectors are not finite")
        news: News = []
        rows = iter(vectors.tolist())
        with self._work:
            self._meter.count(plan.rows, seconds)
            for share in plan.shares:
                self._scheduler.commit(share, 0)
                if share.completes:
                    sequence = share.sequence
                    token = _vector(next(rows), sequence.cached)
                    self._forget(sequence)
                    news.append((sequence.listener, token))
        return news

    def _commit(
        self,
        plan: Plan,
        choices: list[Choice],
        scores: Iterator[Logprob],
        seconds: float,
    ) -> News:
        """Count the step; `choices` by completing share."""
        news: News = []
        new = iter(choices)
        with self._work:
            wasted = self._drafted - self._accepted
            for share in plan.shares:
                share.sequence.scores.extend(itertools.islice(scores, share.scored))
                if share.completes:
                    news += self._advance(share, plan.draft_cost(share), next(new), scores)
                else:
                    self._scheduler.commit(share, 0)
            wasted = self._drafted - self._accepted - wasted
            self._meter.count(plan.rows - wasted, seconds)
            if self._drafter.most and plan.only_decodes:
                count = len(plan.shares)
                self._scheduler.stopwatch.count(count, plan.rows - count, seconds)
        return news

    def _advance(
        self,
        share: Share,
        cost: float,
        choice: Choice,
        scores: Iterator[Logprob],
    ) -> News:
        """New tokens, or the end if the sequence's grammar cannot be followed any further."""
        sequence, news = share.sequence, News()
        asked = sequence.request.logprobs is not None
        told = [next(scores) if asked else None for _ in choice.ids]
        for left, id, score in zip(range(len(told), 0, -1), choice.ids, told, strict=True):
            if sequence.finish is None:
                text = sequence.accept(id, completes=choice.is_complete and left == 1)
                news.append((sequence.listener, _token(sequence, id, text, score)))
        if choice.fault is not None and sequence.finish is None:
            return [*news, self._end(sequence, choice.fault)]
        self._count(share, len(news) - 1, cost)
        self._scheduler.commit(share, len(news) - 1)
        if sequence.finish is not None:
            self._forget(sequence)
        return news

    def _count(self, share: Share, right: int, cost: float) -> None:
        share.sequence.odds.learn(len(share.drafts), right, cost)
        self._drafted += len(share.drafts)
        self._accepted += right

    def _drop_cancelled(self) -> None:
        for request_id in self._cancelled:
            if sequence := self._sequences.get(request_id):
                self._forget(sequence)
        self._cancelled.clear()

    def _fail(self, plan: Plan, error: Exception) -> News:
        """A step failed: its requests hear of it, the others go on. No content is logged."""
        logger.error("a step of %d sequences failed: %s", len(plan.shares), type(error).__name__)
        unknown = InternalError("the engine failed on this request")
        answer = error if isinstance(error, CloisterError) else unknown
        with self._work:
            return [self._end(share.sequence, answer) for share in plan.shares]

    def _abandon(self) -> News:
        answer = Unavailable("this worker is shutting down")
        with self._work:
            return [self._end(sequence, answer) for sequence in list(self._sequences.values())]

    def _end(self, sequence: Sequence, answer: CloisterError) -> tuple[Listener, Event]:
        self._forget(sequence)
        return sequence.listener, answer

    def _forget(self, sequence: Sequence) -> None:
        self._meter.end()
        self._scheduler.remove(sequence)
        self._drafter.forget(sequence)
        del self._sequences[sequence.request.id]


def _pick(share: Share) -> Pick:
    sequence = share.sequence
    return Pick.of(sequence.request, sequence.tokens, share.drafts, sequence.constraint)


def _token(sequence: Sequence, id: int, text: str, logprob: Logprob | None) -> Token:
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


def _vector(values: list[float], cached: int) -> Token:
    finish, vector = Finish.STOP, tuple(values)
    return Token(NO_ID, "", finish, generated=0, cached=cached, vector=vector)


def _deliver(news: News) -> None:
    for listener, event in news:
        listener(event)
