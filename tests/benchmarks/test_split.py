"""The benchmark of split execution, on a tiny model: what it counts, and that columns agree."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import SimpleQueue
from threading import Thread

import pytest
import torch

from benchmarks import split
from benchmarks._split import grpc_modules, openers, servers, zeromq_modules
from benchmarks._split.columns import NAMES, Column, Name, Setup
from benchmarks._split.ledger import Watch, watched
from benchmarks._split.masks import Stock
from benchmarks._split.measure import Figures, Task, measure, write
from benchmarks._split.modules import Null, Real
from benchmarks._split.openers import opened
from benchmarks._split.servers import Running, Spec
from benchmarks._split.source import Source
from tests.model.checkpoints import VOCABULARY, config_of, prompt, save
from tests.split.machines import serving
from worker.engine.request import Sampling
from worker.execution.split.address import parse
from worker.execution.split.products import whole_float64
from worker.execution.split.sites import SiteId

LAYERS, HIDDEN, KV, INNER, HEADS, DIM = 2, 48, 24, 80, 4, 12
FLOAT, INT, ID = 4, 4, 8  # bytes
GREEDY = Sampling(temperature=0)
TOKENS = 200


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model")
    save(config_of("Llama"), path)
    return path


@contextmanager
def in_a_thread(spec: Spec) -> Iterator[Running]:
    """A server as `started` starts it, without the seconds that a process takes."""
    if spec.design in ("split", "helper"):
        shelf = servers._null_shelf(spec) if spec.null else servers._shelf(spec)
        with serving(shelf, takes_seeds=spec.design == "helper") as server:
            yield Running(server.url)
        return
    modules = Null(spec.source) if spec.null else Real(spec.source, spec.device)
    if spec.design == "grpc":
        with grpc_modules.serving(modules) as url:
            yield Running(url)
        return
    ready: SimpleQueue[str] = SimpleQueue()
    Thread(target=zeromq_modules.serve, args=(modules, ready.put), daemon=True).start()
    yield Running(ready.get(timeout=60))


@pytest.fixture(autouse=True)
def threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openers, "started", in_a_thread)


@contextmanager
def column(
    folder: Path, name: Name, *, null: bool = False, at_once: int = 2
) -> Iterator[tuple[Column, Watch]]:
    watch = Watch()
    setup = Setup(Source(str(folder)), torch.float32, TOKENS, null=null, at_once=at_once)
    with opened(name, setup, watch) as it, watched(watch, believing=null):
        yield it, watch


def figures(folder: Path, name: Name, rows: int) -> Figures:
    with column(folder, name, null=True) as (it, watch):
        return measure(name, it, watch, Task("prefill", rows), [prompt(rows)], GREEDY)


def test_a_call_for_each_module_and_its_bytes(folder: Path) -> None:
    rows = 9
    found = figures(folder, "a-grpc", rows)
    assert found.calls == LAYERS * 7 + 2
    up = LAYERS * (6 * HIDDEN + INNER) + HIDDEN
    down = LAYERS * (3 * HIDDEN + 2 * KV + 2 * INNER) + HIDDEN + VOCABULARY
    assert found.up_bytes == rows * (FLOAT * up + ID)
    assert found.down_bytes == rows * FLOAT * down


def test_nine_calls_a_layer_with_attention_outside(folder: Path) -> None:
    rows = 9
    found = figures(folder, "b-zeromq", rows)
    assert found.calls == LAYERS * 9 + 2
    scores = HEADS * rows * rows
    up = rows * (6 * HIDDEN + INNER) + 3 * HEADS * rows * DIM + scores
    down = rows * (3 * HIDDEN + 2 * KV + 2 * INNER) + HEADS * rows * DIM + scores
    assert found.up_bytes == FLOAT * (LAYERS * up + HIDDEN) + ID * rows
    assert found.down_bytes == FLOAT * (LAYERS * down + rows * HIDDEN + VOCABULARY)


@pytest.mark.parametrize("name", ["plain", "plain-int", "blind-warm", "blind-cold", "helper"])
def test_four_calls_a_layer_and_the_head(folder: Path, name: Name) -> None:
    rows = 9
    found = figures(folder, name, rows)
    assert found.calls == LAYERS * 4 + 1
    up = LAYERS * (3 * HIDDEN + INNER) * rows + HIDDEN
    down = LAYERS * (3 * HIDDEN + 2 * KV + 2 * INNER) * rows + VOCABULARY
    assert (found.up_bytes, found.down_bytes) == (INT * up, INT * down)


def test_all_that_compute_the_model_write_the_same(folder: Path) -> None:
    def text(name: Name) -> list[list[int]]:
        with column(folder, name) as (it, _):
            return write(it, [prompt(20), prompt(20, seed=2)], 6, GREEDY)

    expected = text("c-tee")
    assert text("a-grpc") == text("b-causal") == text("plain") == expected
    assert text("b-zeromq") != expected, "without a causal mask it is another model"
    blind = [text(name) for name in ("blind-warm", "blind-cold", "helper")]
    assert blind == [text("plain-int")] * 3


def test_a_server_has_a_process_of_its_own_whose_time_is_told(folder: Path) -> None:
    with servers.started(Spec("split", Source(str(folder)), torch.float32, null=True)) as server:
        parse("gpu", server.url).connect(20).close()
        assert server.process != os.getpid()
        assert server.processor_s() > 0


def test_masks_are_all_ready_or_none() -> None:
    site = SiteId(0, "o")
    stock = Stock({site: torch.Size([4, 3])}, free=False)
    stock.add(site, 3, 4, whole_float64(torch.ones(4, 3, dtype=torch.int8)))
    stock.fill(100)
    assert stock.ready_rows() >= 100
    stock.empty(100)
    assert stock.ready_rows() == 0
    stock.close()


def test_the_command_tells_every_column(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result, table = tmp_path / "result.json", tmp_path / "table.md"
    options = [
        "--model",
        str(folder),
        "--null",
        "--prefill",
        "12",
        "--decode",
        "2",
        "--rounds",
        "1",
    ]
    split.main([*options, "--clients", "1", "2", "--result", str(result), "--table", str(table)])
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert told == json.loads(result.read_text())
    for task in (("prefill", 1), ("decode", 1), ("decode", 2)):
        rows = [row for row in told["rows"] if (row["what"], row["clients"]) == task]
        assert [row["column"] for row in rows] == list(NAMES)
    assert {bound["what"].partition(": ")[2] for bound in told["bounds"]} >= {
        "bytes, plain / B",
        "transport time, blind-warm / B",
        "verification's share of blind's time",
    }
    assert table.read_text().count("| b-zeromq |") == 3
    blind = next(row for row in told["rows"] if row["column"] == "blind-warm")
    assert all(ms > 0 for ms in blind["phases_ms"].values())
