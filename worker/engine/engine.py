"""The engine: one thread, one loop, plan -> forward -> choose -> commit."""

import itertools
import logging
import threading
import time
from collections.abc import Callable, Iterator

import torch

from cloister.errors import Busy, CloisterError, InternalError, Unavailable
from worker.engine.limits import Limits
from worker.engine.logprobs import logprobs, queries
from worker.engine.masks import Faults, Masks
from worker.engine.meter import Meter
from worker.engine.model import Model, context_limit
from worker.engine.pages import Pages
from worker.engine.request import Event, Listener, Load, Logprob, Request, Token, Vocabulary
from worker.engine.sampler import Pick, choose
from worker.engine.scheduler import Plan, Scheduler
from worker.engine.sequence import Sequence
from worker.engine.text import TextStream

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
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._model = model
        self._vocabulary = vocabulary
        self._limits = limits
        self._scheduler = Scheduler(Pages(model.page_count, model.page_size), limits)
        self._sequences: dict[str, Sequence] = {}
        self._cancelled: set[str] = set()
        self._order = itertools.count()
        self._masks = Masks(model.vocabulary_size)
        self._meter = Meter()
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
                f"{limits.queued_tokens} is passed"
            )

    def _busy(self, reason: str) -> Busy:
        """Full; a place is free again when the work ahead of one request is done."""
        load = self._load()
        ahead = (load.queued_tokens + load.running_tokens) / max(1, len(self._sequences))
        return Busy(f"queue full: {reason}", retry_after_s=ahead / max(1.0, load.tokens_per_s))

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
        bars = self._masks.begin([sequence.constraint for sequence in plan.completing])
        logits = self._model.forward(plan.step())
        last = logits if len(logits) == len(plan.completing) else logits[plan.last_rows]
        barred = bars.result()
        ids = choose(barred.apply(last), [_pick(sequence) for sequence in plan.completing])
        scores = iter(logprobs(logits, list(queries(plan, ids))))
        return self._commit(plan, ids, scores, barred.faults, self._clock() - started)

    def _commit(
        self, plan: Plan, ids: list[int], scores: Iterator[Logprob], faults: Faults, seconds: float
    ) -> News:
        """Count the step; `ids` and `faults` by row of the completing sequences."""
        news: News = []
        with self._work:
            self._meter.count(plan.rows, seconds)
            for share in plan.shares:
                self._scheduler.commit(share)
                sequence = share.sequence
                sequence.scores.extend(itertools.islice(scores, share.scored))
                if share.completes:
                    row, asked = len(news), sequence.request.logprobs is not None
                    score = next(scores) if asked else None
                    news.append(self._advance(sequence, ids[row], score, faults.get(row)))
        return news

    def _advance(
        self, sequence: Sequence, id: int, score: Logprob | None, fault: CloisterError | None
    ) -> tuple[Listener, Event]:
        """One more token, or the end if the sequence's grammar cannot be followed any further."""
        try:
            if fault is not None:
                raise fault
            return sequence.listener, self._append(sequence, id, score)
        except CloisterError as error:
            return self._end(sequence, error)

    def _append(self, sequence: Sequence, id: int, logprob: Logprob | None) -> Token:
        text = sequence.accept(id)
        if sequence.finish is not None:
            self._forget(sequence)
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

    def _drop_cancelled(self) -> None:
        for request_id in self._cancelled:
            if sequence := self._sequences.get(request_id):
                self._forget(sequence)
        self._cancelled.clear()

    def _fail(self, plan: Plan, error: Exception) -> News:
        """A step failed: its requests hear of it, the others go on. No content is logged."""
        logger.error("a step of %d sequences failed: %s", len(plan.shares), type(error).__name__)
        answer = InternalError("the engine failed on this request")
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
        self._scheduler.remove(sequence)
        del self._sequences[sequence.request.id]


def _pick(sequence: Sequence) -> Pick:
    request = sequence.request
    banned = request.stop_ids if sequence.must_go_on else ()
    return Pick(request.sampling, request.prompt, sequence.tokens[len(request.prompt) :], banned)


def _deliver(news: News) -> None:
    for listener, event in news:
        listener(event)
