"""A worker as it is started: settings, API, headers, metrics."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from pydantic import ValidationError

from tests.split.machines import serving, shelf_of
from worker.build import Worker, build
from worker.model.source import find_model
from worker.settings import WorkerSettings

GPU = "tcp://127.0.0.1:1"


@pytest.fixture(scope="module", params=["blind", "plain-int", "plain"])
def started(request: pytest.FixtureRequest) -> Iterator[tuple[Worker, str]]:
    shelf = shelf_of(find_model("novice"), int8=request.param != "plain")
    with serving(shelf, token=b"a-gpu-token-for-tests") as server:
        settings = WorkerSettings(
            execution="split",
            gpu=(server.url,),
            gpu_token="a-gpu-token-for-tests",
            mode=request.param,
            i_trust_the_gpu=request.param == "plain",
            on_empty="wait",
            on_gpu_loss="reject",
            masks_mb=8,
        )
        worker = build(settings)
        try:
            yield worker, request.param
        finally:
            worker.close()


async def test_worker_answers_and_tells_its_mode(started: tuple[Worker, str]) -> None:
    worker, mode = started
    transport = httpx.ASGITransport(worker.app)
    async with httpx.AsyncClient(transport=transport, base_url="http://worker") as client:
        body = {"model": "novice", "messages": [{"role": "user", "content": "What is Cloister?"}]}
        answer = await client.post("/v1/chat/completions", json=body | {"temperature": 0})
        models = (await client.get("/v1/models")).json()
        metrics = (await client.get("/metrics")).text
    assert "confidential" in answer.json()["choices"][0]["message"]["content"]
    assert answer.headers["x-cloister-execution"] == f"split-{mode}"
    assert [model["execution"] for model in models["data"]] == [f"split-{mode}"]
    calls = next(line for line in metrics.splitlines() if line.startswith("cloister_split_calls"))
    assert float(calls.split()[1]) >= 21  # four a layer and the head
    assert "cloister_split_quarantined_total 0.0" in metrics
    assert "a-gpu-token" not in repr(worker) + metrics


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"execution": "split"}, "needs gpu"),
        ({"gpu": (GPU,)}, "--execution split"),
        ({"execution": "split", "gpu": (GPU,), "mode": "plain"}, "--i-trust-the-gpu"),
        ({"execution": "split", "gpu": (GPU,), "masks": "helper:x"}, "local"),
        ({"execution": "split", "gpu": (GPU,), "mode": "permuted"}, "blind"),
    ],
)
def test_what_cannot_be_is_refused(values: dict[str, object], reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        WorkerSettings(**values)


def test_trust_is_never_assumed() -> None:
    settings = WorkerSettings(execution="split", gpu=(GPU,))
    assert (settings.mode, settings.i_trust_the_gpu) == ("blind", False)


def test_repository_names_no_mode_that_hides_badly() -> None:
    page = (Path(__file__).parents[2] / "docs" / "split.md").read_text(encoding="utf-8")
    modes = WorkerSettings.model_json_schema()["properties"]["mode"]["enum"]
    assert modes == ["blind", "plain-int", "plain"]
    assert all(f"`{mode}`" in page for mode in modes)
