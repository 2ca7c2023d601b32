"""Numbers for Prometheus, in a registry of their own. No label names a request, tenant or key."""

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from controller.registry import Registry

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
FIRST_BYTE_S = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 40, 80, 160, 320, 640)


class Metrics:
    """All that the controller counts; what the fleet is, is asked of the registry when read."""

    def __init__(self, fleet: Registry) -> None:
        self._registry = CollectorRegistry()
        self._registry.register(_FleetCollector(fleet))
        self._requests = self._counter("requests", "Requests by status", "status")
        self.relayed_bytes = self._counter("relayed_bytes", "Bytes of answers passed on")
        self.retries = self._counter("retries", "Requests given to another worker")
        self.broken = self._counter("broken_answers", "Answers that broke off after their start")
        self.first_byte = Histogram(
            "cloister_controller_time_to_first_byte_seconds",
            "From a request's last byte to the answer's first",
            buckets=FIRST_BYTE_S,
            registry=self._registry,
        )

    def count(self, _: str, status: str) -> None:
        """A request has been answered."""
        self._requests.labels(status).inc()

    def text(self) -> bytes:
        """The exposition format."""
        return generate_latest(self._registry)

    def _counter(self, name: str, what: str, *labels: str) -> Counter:
        return Counter(f"cloister_controller_{name}", what, labels, registry=self._registry)


class _FleetCollector(Collector):
    def __init__(self, fleet: Registry) -> None:
        self._fleet = fleet

    def describe(self) -> list[GaugeMetricFamily]:
        return []  # so that registering does not ask the fleet

    def collect(self) -> Iterator[GaugeMetricFamily]:
        members = self._fleet.members()
        ready = sum(member.ready for member in members)
        workers = _gauge("workers", "Workers in the fleet", "state")
        workers.add_metric(["ready"], ready)
        workers.add_metric(["not_ready"], len(members) - ready)
        yield workers
        waits = _gauge("expected_wait_seconds", "Least expected wait of a new request", "model")
        for model in self._fleet.models():
            wait_s = self._fleet.wait_s(model.id)
            if wait_s is not None:
                waits.add_metric([model.id], wait_s)
        yield waits


def _gauge(name: str, what: str, label: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"cloister_controller_{name}", what, labels=[label])
