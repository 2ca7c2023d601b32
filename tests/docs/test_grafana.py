"""The Grafana board: each series that it asks for is one that we tell."""

import json
import re
from typing import Any

import pytest

from cloister.fleet import Join
from controller.metrics import Metrics as ControllerMetrics
from controller.registry import Registry
from tests.controller.conftest import state
from tests.docs.pages import ROOT
from tests.fakes.engine import FakeEngine
from worker.api.metrics import Metrics as WorkerMetrics

BOARD: dict[str, Any] = json.loads((ROOT / "docs/grafana.json").read_text(encoding="utf-8"))
QUERY = re.compile(r"\b(?:vllm:|cloister_)\w+")
LABELS = re.compile(r"\{([^{}]*)\}|by \(([^)]*)\)")


def targets() -> list[tuple[str, str]]:
    """Title and query of all panels, and the variables' queries."""
    queries = [(one["name"], one["query"]) for one in BOARD["templating"]["list"][1:]]
    for panel in BOARD["panels"]:
        queries += [(panel["title"], target["expr"]) for target in panel.get("targets", ())]
    return queries


def told() -> str:
    """All that worker and controller say at /metrics, once each counter has counted."""
    worker = WorkerMetrics(FakeEngine(), "novice")
    worker.count("/v1/chat/completions", "200")
    worker.finished.labels("stop").inc()
    registry = Registry(60)
    registry.join(Join(url="http://127.0.0.1:9", state=state(tokens_per_s=1.0)))
    controller = ControllerMetrics(registry)
    controller.count("/", "200")
    return (worker.text() + controller.text()).decode()


@pytest.mark.parametrize(("title", "query"), targets())
def test_series_and_labels_exist(title: str, query: str) -> None:
    series = told()
    names = QUERY.findall(query)
    assert names, query
    for name in names:
        lines = re.findall(rf"^{name}(?:\{{(.*)\}})? \S+$", series, re.MULTILINE)
        assert lines, f"{title} asks for {name}"
        known = {label for line in lines for label in re.findall(r'(\w+)="', line)} | {"instance"}
        for selected, grouped in LABELS.findall(query):
            asked = set(re.findall(r"(\w+)=", selected)) | set(re.findall(r"\w+", grouped))
            assert asked <= known, f"{title} asks {name} for {asked - known}"


def test_board_is_one_that_grafana_can_import() -> None:
    assert BOARD["schemaVersion"] >= 36
    assert {"title", "uid", "templating", "time", "panels"} <= set(BOARD)
    panels = BOARD["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    for panel in panels:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        assert panel["type"] in ("row", "timeseries")
        assert panel["type"] == "row" or panel["targets"]
        sources = {target["datasource"]["uid"] for target in panel.get("targets", ())}
        assert sources <= {"${datasource}"}
    used = set(re.findall(r"\$(\w+)", json.dumps(panels))) - {"__rate_interval"}
    assert used <= {one["name"] for one in BOARD["templating"]["list"]}


def test_panels_do_not_overlap() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in BOARD["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        taken |= cells
