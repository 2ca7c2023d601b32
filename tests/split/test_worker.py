"""A worker as it is started: settings, API, headers, metrics."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from pydantic import ValidationError

from cloister.errors import BadSettings
from tests.split.certificates import pin_of
from tests.split.machines import identity, serving, shelf_of
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


QUESTION = {
    "model": "novice",
    "messages": [{"role": "user", "content": "What is Cloister?"}],
    "temperature": 0,
}


def client_of(worker: Worker) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(worker.app), base_url="http://worker")


async def test_worker_answers_and_tells_its_mode(started: tuple[Worker, str]) -> None:
    worker, mode = started
    async with client_of(worker) as client:
        answer = await client.post("/v1/chat/completions", json=QUESTION)
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
        ({"execution": "split", "gpu": (GPU,), "masks": "helper:x"}, "helper:tls"),
        ({"execution": "split", "gpu": (GPU,), "masks": "helper:tcp://h:1"}, "helper:tls"),
        ({"masks": "helper:tls://h:1"}, "--mode blind"),
        (
            {"execution": "split", "gpu": (GPU,), "masks": "helper:tls://h:1", "mode": "plain-int"},
            "--mode blind",
        ),
        ({"execution": "split", "gpu": (GPU,), "mode": "permuted"}, "blind"),
    ],
)
def test_what_cannot_be_is_refused(values: dict[str, object], reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        WorkerSettings(**values)


@pytest.mark.parametrize(
    ("gpus", "helper"),
    [
        (("tcp://10.0.0.1:1",), "tls://10.0.0.1:2"),
        (("tcp://10.0.0.2:1", "zmq://10.0.0.1:1"), "tls://10.0.0.1:1"),
        (("shm://here",), "tls://127.0.0.1:1"),
    ],
)
def test_helper_that_is_also_a_gpu_server_is_refused(gpus: tuple[str, ...], helper: str) -> None:
    settings = WorkerSettings(execution="split", gpu=gpus, masks=f"helper:{helper}")
    with pytest.raises(BadSettings, match="one machine"):
        build(settings)


@pytest.mark.parametrize("mode", ["plain", "plain-int"])
@pytest.mark.parametrize("scheme", ["tcp", "zmq", "grpc"])
def test_what_is_readable_on_the_way_is_refused(mode: str, scheme: str) -> None:
    settings = WorkerSettings(
        execution="split", gpu=(GPU, f"{scheme}://10.0.0.1:1"), mode=mode, i_trust_the_gpu=True
    )
    with pytest.raises(BadSettings, match="use tls"):
        build(settings)


@pytest.mark.parametrize("content", [None, b"", b"no certificate"])
def test_authorities_that_cannot_be_read_are_told(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "ca.pem").write_bytes(content)
    settings = WorkerSettings(
        execution="split", gpu=("tls://10.0.0.1:1",), tls_ca=tmp_path / "ca.pem"
    )
    with pytest.raises(BadSettings, match="tls_ca = "):
        build(settings)


async def test_worker_with_a_helper_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both on this machine, as no settings can say."""
    monkeypatch.setattr("worker.build.same_machine", lambda one, other: False)
    shelf, token = shelf_of(find_model("novice")), "a-token-for-tests"
    helping = serving(shelf, "tls", takes_seeds=True, token=token.encode())
    with serving(shelf) as server, helping as helper:
        settings = WorkerSettings(
            execution="split",
            gpu=(server.url,),
            masks=f"helper:{helper.url}#sha256={pin_of(identity('tls'))}",
            masks_token=token,
            on_empty="wait",
            on_gpu_loss="reject",
        )
        worker = build(settings)
        async with client_of(worker) as client:
            answer = await client.post("/v1/chat/completions", json=QUESTION)
            metrics = (await client.get("/metrics")).text
        worker.close()
    assert "confidential" in answer.json()["choices"][0]["message"]["content"]
    lines = [
        line for line in metrics.splitlines() if line.startswith("cloister_split_helper_calls")
    ]
    calls = next(line for line in lines if "_total" in line)
    assert float(calls.split()[1]) >= 21
    assert token not in metrics + repr(worker) + repr(settings)


def test_trust_is_never_assumed() -> None:
    settings = WorkerSettings(execution="split", gpu=(GPU,))
    assert (settings.mode, settings.i_trust_the_gpu) == ("blind", False)


def test_repository_names_no_mode_that_hides_badly() -> None:
    page = (Path(__file__).parents[2] / "docs" / "split.md").read_text(encoding="utf-8")
    modes = WorkerSettings.model_json_schema()["properties"]["mode"]["enum"]
    assert modes == ["blind", "plain-int", "plain"]
    assert all(f"`{mode}`" in page for mode in modes)
