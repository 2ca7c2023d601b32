"""The engine: one thread, one loop, plan -> forward -> choose -> commit."""

import itertools
import logging
import threading
import time
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from cloister.errors import CloisterError, InternalError, Unavailable
from worker.engine.choices import Choice, Draw, choose
from worker.engine.drafting import Drafting
from worker.engine.drafts import OFF, Drafter
from worker.engine.gate import Gate
from worker.engine.limits import Limits
from worker.engine.logprobs import logprobs, queries
from worker.engine.masks import Masks
from worker.engine.meter import Meter
from worker.engine.model import Model, context_limit
from worker.engine.news import News, deliver, tell_token, tell_vector
from worker.engine.pages import Pages
from worker.engine.plan import Plan, Share
from worker.engine.request import Event, Listener, Load, Logprob, Request, Vocabulary
from worker.engine.sampler import Pick
from worker.engine.scheduler import Scheduler
from worker.engine.sequence import Sequence
from worker.engine.text import TextStream
from worker.kernels.draw import draw

logger = logging.getLogger(__name__)


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
        self._drafting = Drafting(drafter)
        pages = Pages(model.page_count, model.page_size)
        self._scheduler = Scheduler(pages, limits, self._drafting)
        self._meter = Meter()
        self._gate = Gate(self._scheduler, limits, self._meter, self._drafting)
        self._sequences: dict[str, Sequence] = {}
        self._cancelled: set[str] = set()
        self._order = itertools.count()
        self._masks = Masks(model.vocabulary_size)
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
            if self._closed:
                raise Unavailable("this worker is shutting down")
            self._gate.admit(request)
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
            return self._gate.load()

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

    @torch.inference_mode()
    def _run(self) -> None:
        while (plan := self._next_plan()) is not None:
            try:
                news = self._step(plan)
            except Exception as error:
                news = self._fail(plan, error)
            deliver(news)
        deliver(self._abandon())

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
        self._drafting.guess(plan)
        masks = self._masks.begin(plan.masked)
        logits = self._model.forward(plan.step())
        if plan.wants_vectors:
            return self._tell(plan, logits, self._clock() - started)
        last = logits if len(logits) == plan.choices else logits[plan.choice_rows]
        masks.result()
        choices = choose(last, [_pick(share) for share in plan.completing], self._draw)
        asked = list(queries(plan, [choice.ids for choice in choices]))
        scores = iter(logprobs(logits, asked))
        return self._commit(plan, choices, scores, self._clock() - started)

    def _tell(self, plan: Plan, vectors: Tensor, seconds: float) -> News:
        """Count a step of an embedding model; `vectors` by row of the completing sequences."""
        if not bool(torch.isfinite(vectors).all()):
            raise FloatingPointError("the model's vectors are not finite")
        news: News = []
        rows = iter(vectors.tolist())
        with self._work:
            self._meter.count(plan.rows, seconds)
            for share in plan.shares:
                self._scheduler.commit(share)
                if share.completes:
                    sequence = share.sequence
                    token = tell_vector(next(rows), sequence.cached)
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
            for share in plan.shares:
                if share.scored:
                    share.sequence.scores.extend(itertools.islice(scores, share.scored))
                if share.completes:
                    news += self._advance(share, next(new), scores)
                else:
                    self._scheduler.commit(share)
            self._meter.count(plan.useful_rows, seconds)
            self._drafting.learn(plan, seconds)
        return news

    def _advance(self, share: Share, choice: Choice, scores: Iterator[Logprob]) -> News:
        """New tokens, or the end if the sequence's grammar cannot be followed any further."""
        sequence, news = share.sequence, News()
        asked = sequence.request.logprobs is not None
        for left, id in zip(range(len(choice.ids) - 1, -1, -1), choice.ids, strict=True):
            score = next(scores) if asked else None
            if sequence.finish is None:
                text = sequence.accept(id, completes=choice.is_complete and left == 0)
                news.append((sequence.listener, tell_token(sequence, id, text, score)))
        share.right = max(0, len(news) - 1)
        if choice.fault is not None and sequence.finish is None:
            return [*news, self._end(sequence, choice.fault)]
        self._scheduler.commit(share)
        if sequence.finish is not None:
            self._forget(sequence)
        return news

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
        self._drafting.forget(sequence)
        del self._sequences[sequence.request.id]


def _pick(share: Share) -> Pick:
    sequence = share.sequence
    return Pick.of(sequence.request, sequence.answer, share.drafts, sequence.constraint)
