"""Numbers of split execution for Prometheus."""

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from worker.execution.split.gpus import Counts
from worker.execution.split.masks import MaskSource


class SplitCollector(Collector):
    """What became of calls, and how many masks are ready. Asked when read."""

    def __init__(self, counts: Counts, helper: Counts, masks: MaskSource) -> None:
        self._counts = counts
        self._helper = helper
        self._masks = masks

    def describe(self) -> list[Metric]:
        return []  # so that registering does not ask the pool

    def collect(self) -> Iterator[Metric]:
        counts = self._counts
        yield _counter("calls", "Calls sent to GPU servers", counts.calls)
        yield _counter("lost", "Times that a GPU server was lost", counts.lost)
        yield _counter("in_tee", "Calls computed in the TEE instead", counts.in_tee)
        yield _counter("quarantined", "GPU servers put in quarantine", counts.quarantined)
        helper = self._helper
        yield _counter("helper_calls", "Blocks of masks asked of a helper", helper.calls)
        yield _counter("helper_lost", "Times that a mask helper was lost", helper.lost)
        yield _counter("helper_quarantined", "Helpers put in quarantine", helper.quarantined)
        ready = self._masks.ready_rows()
        yield GaugeMetricFamily("cloister_split_masks_ready", "Tokens with masks ready", ready)


def _counter(name: str, what: str, value: int) -> CounterMetricFamily:
    return CounterMetricFamily(f"cloister_split_{name}", what, value)
