"""Our metrics once more under vLLM's names, for boards and schedulers that know those.

Nothing is counted here: what stands in a registry is told with other names and vLLM's two constant
labels. The values of `reason` are vLLM's, in `finished_reason`.
"""

from collections.abc import Iterable, Iterator

from prometheus_client import CollectorRegistry, Metric
from prometheus_client.registry import Collector
from prometheus_client.samples import Sample

NAMES = {
    "cloister_running_requests": ("vllm:num_requests_running",),
    "cloister_queued_requests": ("vllm:num_requests_waiting",),
    "cloister_cache_usage_ratio": ("vllm:kv_cache_usage_perc",),
    "cloister_prompt_tokens": ("vllm:prompt_tokens", "vllm:prefix_cache_queries"),
    "cloister_cached_tokens": ("vllm:prefix_cache_hits",),
    "cloister_generated_tokens": ("vllm:generation_tokens",),
    "cloister_finished": ("vllm:request_success",),
    "cloister_time_to_first_token_seconds": ("vllm:time_to_first_token_seconds",),
    "cloister_inter_token_seconds": ("vllm:inter_token_latency_seconds",),
    "cloister_request_seconds": ("vllm:e2e_request_latency_seconds",),
}
REASONS = {"cancelled": "abort"}


class Aliases(Collector):
    """Tells the metrics of `registry` anew; it belongs in a registry of its own."""

    def __init__(self, registry: CollectorRegistry, model: str) -> None:
        self._registry = registry
        self._labels = {"model_name": model, "engine": "0"}

    def describe(self) -> Iterable[Metric]:
        return []  # so that registering does not ask the engine

    def collect(self) -> Iterator[Metric]:
        for metric in self._registry.collect():
            for name in NAMES.get(metric.name, ()):
                yield self._renamed(metric, name)

    def _renamed(self, metric: Metric, name: str) -> Metric:
        told = Metric(name, metric.documentation, metric.type)
        told.samples = [
            Sample(name + sample.name.removeprefix(metric.name), self._with(sample), sample.value)
            for sample in metric.samples
        ]
        return told

    def _with(self, sample: Sample) -> dict[str, str]:
        labels = dict(sample.labels)
        if reason := labels.pop("reason", None):
            labels["finished_reason"] = REASONS.get(reason, reason)
        return labels | self._labels
