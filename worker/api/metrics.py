"""Numbers for Prometheus, in a registry of its own. No label names a request, a tenant or a key."""

import time
from collections.abc import Iterator, Sequence

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from cloister.memory import mapped_bytes
from worker.api.aliases import Aliases
from worker.api.bill import Bill
from worker.engine.request import Engine, Token

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
ROUTES = (
    *("/v1/chat/completions", "/v1/completions", "/v1/responses", "/v1/embeddings"),
    *("/v1/messages", "/v1/messages/count_tokens"),
    *("/tokenize", "/detokenize", "/v1/models", "/health", "/ready", "/metrics"),
)

SHORT_S = (0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 1, 2, 5)
LONG_S = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 40, 80, 160, 320, 640)


class Metrics:
    """All that the API counts; what the engine knows is asked of it when read.

    `model` is the served name, which vLLM's boards select by; `more` is told beside it.
    """

    def __init__(self, engine: Engine, model: str, more: Sequence[Collector] = ()) -> None:
        self._registry = CollectorRegistry()
        for collector in (_LoadCollector(engine), *more):
            self._registry.register(collector)
        self._aliases = CollectorRegistry()
        self._aliases.register(Aliases(self._registry, model))
        self._requests = self._counter(
            "requests", "Requests by route and status", "route", "status"
        )
        self.prompt_tokens = self._counter("prompt_tokens", "Prompt tokens, cached ones too")
        self.cached_tokens = self._counter("cached_tokens", "Prompt tokens found in the cache")
        self.generated_tokens = self._counter("generated_tokens", "Generated tokens")
        self.finished = self._counter("finished", "Generations by how they ended", "reason")
        self.first_token = self._histogram("time_to_first_token", "To the first token", LONG_S)
        self.inter_token = self._histogram("inter_token", "Between tokens", SHORT_S)
        self.duration = self._histogram("request", "Of a whole generation", LONG_S)

    def count(self, path: str, status: str) -> None:
        """A request has been answered."""
        self._requests.labels(_route(path), status).inc()

    def text(self) -> bytes:
        """The exposition format."""
        return generate_latest(self._registry) + generate_latest(self._aliases)

    def _counter(self, name: str, what: str, *labels: str) -> Counter:
        return Counter(f"cloister_{name}", what, labels, registry=self._registry)

    def _histogram(self, name: str, what: str, buckets: tuple[float, ...]) -> Histogram:
        full = f"cloister_{name}_seconds"
        return Histogram(full, what, buckets=buckets, registry=self._registry)


class Stopwatch:
    """Times and counts one answer, for the metrics and its bill. `began` is when its request came.

    `prompt_tokens` tells the length of a sequence's prompt; 0 where another one has counted it.
    """

    def __init__(
        self, metrics: Metrics, began: float, prompt_tokens: Sequence[int], bill: Bill
    ) -> None:
        self._metrics = metrics
        self._bill = bill
        self._began = began
        self._last: dict[int, float] = {}
        self._prompt_tokens = prompt_tokens

    def left_s(self, limit_s: float) -> float:
        """What is left of so many seconds since the request came in."""
        return limit_s - (time.perf_counter() - self._began)

    def token(self, index: int, token: Token) -> None:
        """Sequence `index` got a token."""
        now = time.perf_counter()
        if not self._last:
            self._metrics.first_token.observe(now - self._began)
        if index in self._last:
            self._metrics.inter_token.observe(now - self._last[index])
        elif count := self._prompt_tokens[index]:
            self._metrics.prompt_tokens.inc(count)
            self._metrics.cached_tokens.inc(token.cached)
            self._bill.prompt_tokens += count
            self._bill.cached_tokens += token.cached
        self._last[index] = now
        self._metrics.generated_tokens.inc(int(token.generated > 0))

    def finish(self, reason: str) -> None:
        """A sequence ended."""
        self._metrics.finished.labels(reason).inc()

    def end(self, generated_tokens: int) -> None:
        """All of them have; so many generated tokens are told or ranked."""
        self._bill.generated_tokens = generated_tokens
        self._metrics.duration.observe(time.perf_counter() - self._began)


class _LoadCollector(Collector):
    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def describe(self) -> list[Metric]:
        return []  # so that registering does not ask the engine

    def collect(self) -> Iterator[Metric]:
        load = self._engine.load()
        yield _gauge("queued_requests", "Requests that wait", load.queued_requests)
        yield _gauge("running_requests", "Requests that run", load.running_requests)
        yield _gauge("queued_tokens", "Prompt tokens not yet computed", load.queued_tokens)
        yield _gauge("running_tokens", "Tokens that may still be generated", load.running_tokens)
        yield _gauge("tokens_per_second", "Recent throughput", load.tokens_per_s)
        yield _gauge("pages_used", "Pages of the cache in use", load.pages_used)
        yield _gauge("pages", "Pages of the cache", load.pages_total)
        usage = load.pages_used / max(1, load.pages_total)
        yield _gauge("cache_usage_ratio", "Part of the cache's pages in use, 0 to 1", usage)
        for name, what, value in (
            ("draft_tokens", "Guessed tokens", load.drafted_tokens),
            ("accepted_tokens", "Guessed tokens that were right", load.accepted_tokens),
        ):
            yield CounterMetricFamily(f"cloister_{name}", what, value)
            yield CounterMetricFamily(f"vllm:spec_decode_num_{name}", what, value)
        if (mapped := mapped_bytes()) is not None:
            yield _gauge("mapped_bytes", "Memory that this worker maps, files included", mapped)


def _gauge(name: str, what: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"cloister_{name}", what, value)


def _route(path: str) -> str:
    """The path if it is a known one: labels are a closed set."""
    for route in ("/v1/models", "/v1/responses"):
        if path.startswith(f"{route}/"):
            return route
    return path if path in ROUTES else "other"
