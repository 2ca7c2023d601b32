"""The comparison with other engines: us and a fake peer, on the tiny shape."""

import json
import math
import os
import select
import sys
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from benchmarks import peers
from benchmarks._peers import environment, limits, report
from benchmarks._peers.accuracy import Accuracy
from benchmarks._peers.accuracy import compare as compare_scores
from benchmarks._peers.catalogue import PEERS, US, Peer
from benchmarks._peers.checkpoint import SHAPES, write_checkpoint, write_config
from benchmarks._peers.environment import Environment, convert, prepare
from benchmarks._peers.limits import Limits, Size, least_s
from benchmarks._peers.measure import Turn, Work
from benchmarks._peers.process import PeerFailed
from benchmarks._peers.protocol import Scores
from benchmarks._peers.run_us import Us
from worker.model.config import ModelConfig
from worker.model.shapes import shape

FAKE = Path(__file__).with_name("fake_peer.py")
MACHINE = Limits(bytes_per_s=37e9, int8_per_s=935e9)
ONE_B = Size.of(shape("llama-3.2-1b"))


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One for all tests: the tiny checkpoint is written once."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def known_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "measure", lambda cache, threads: MACHINE)


def fake(manner: str, note: Path) -> Peer:
    return Peer(manner, (sys.executable, "-P", str(FAKE), manner, str(note)))


def compare(cache: Path, found: Sequence[Peer], *more: str) -> int:
    words = ["--cache", str(cache), "--shape", "tiny", "--rounds", "2", "--threads", "1"]
    return peers.main([*words, *more], {peer.name: peer for peer in found})


def gone(note: Path) -> bool:
    """Do all processes that the note names end?"""
    return all(ends(int(pid)) for pid in note.read_text().split())


def ends(pid: int) -> bool:
    try:
        process = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    ended, _, _ = select.select([process], [], [], 60)
    os.close(process)
    return bool(ended)


@pytest.mark.timeout(600)  # two loads of a worker, on a machine that may be busy
def test_us_and_a_peer_stand_in_table_and_json(
    cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The server of ours answers the load generator too; the fake has none, and is told."""
    note = tmp_path / "note"
    loads = ("--http", "--streams", "1", "2", "--requests", "1", "--rounds", "1")
    status = compare(cache, (US, fake("good", note)), *loads)
    shown = capsys.readouterr().out.splitlines()
    told = json.loads(shown[-1])
    ours, other = told["engines"]
    assert status == 1
    assert list(told["missing"]) == ["good by HTTP"]
    assert [ours["peer"], other["peer"]] == ["us", "good"]
    assert other["speeds"] == {"prefill": 128, "single": 2, "sixteen": 32}
    assert ours["ratios"]["single"] == pytest.approx(ours["speeds"]["single"] / 2)
    assert told["goals"]["single"] == {"ratio": ours["ratios"]["single"], "goal": 1.12}
    assert ours["peak_mb"] > 50
    assert any("fake 1" in line and "32.0" in line for line in shown)
    assert list(told["servers"]["us"]) == ["1", "2"]
    assert told["servers"]["us"]["2"]["output_tokens_per_s"] > 0
    assert gone(note)


@pytest.mark.parametrize(
    ("manner", "reason"),
    [
        ("crashes", "ended with status -6"),
        ("hangs", "no answer in time"),
        ("refuses", "round: ValueError: not today"),
    ],
)
def test_peer_that_fails_is_told_and_gone_and_others_go_on(
    manner: str, reason: str, cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good, bad = fake("good", tmp_path / "good"), fake(manner, tmp_path / "bad")
    patience = ("--deadline-s", "3" if manner == "hangs" else "60")
    assert compare(cache, (bad, good), *patience) == 1
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert reason in told["missing"].pop(manner)
    assert not told["missing"]
    assert [row["peer"] for row in told["engines"]] == ["good"]
    assert gone(tmp_path / "bad")
    assert gone(tmp_path / "good")


def test_our_weights_are_for_us_alone(
    cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    note = tmp_path / "note"
    ours = replace(fake("good", note), name="ours", ours=True)
    assert compare(cache, (ours, fake("good", note)), "--weights", "int4") == 0
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert [row["name"] for row in told["engines"]] == ["fake 1 --weights int4", "fake 1 "]


def test_peer_that_cannot_be_prepared_is_told(
    cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = replace(fake("good", tmp_path / "note"), convert=("false",), converted="model")
    assert compare(cache, (broken,)) == 1
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert told["missing"]["good"].startswith("`false")
    assert told["engines"] == []


def test_environment_is_made_once_until_its_recipe_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[Sequence[str]] = []
    monkeypatch.setattr(environment, "run", lambda command, log: done.append(command))
    recipe = Environment("one", ("thing==1",), (("build", "{folder}", "-j{jobs}"),))
    folder = prepare(recipe, tmp_path, jobs=3)
    assert [command[-1] for command in done] == [f"{folder}/venv", "thing==1", "-j3"]
    prepare(recipe, tmp_path, jobs=1)
    assert len(done) == 3
    prepare(replace(recipe, packages=("thing==2",)), tmp_path, jobs=1)
    assert len(done) == 6


def test_conversion_that_fails_leaves_nothing_that_looks_whole(tmp_path: Path) -> None:
    target = tmp_path / "model"
    with pytest.raises(PeerFailed, match="gave 1"):
        convert(("sh", "-c", 'echo half > "$0"; exit 1'), target)
    assert not target.exists()
    assert convert(("sh", "-c", 'echo whole > "$0"'), target).read_text() == "whole\n"


@pytest.mark.parametrize("name", SHAPES.values())
def test_checkpoint_says_what_the_shape_is(name: str, tmp_path: Path) -> None:
    write_config(tmp_path, shape(name))
    assert replace(ModelConfig.read(tmp_path), eos_ids=()) == shape(name)


def test_limits_are_those_of_four_bits_and_int8() -> None:
    assert ONE_B.linear == 973_078_528
    assert ONE_B.head == 262_668_288
    single, prefill = least_s(MACHINE, ONE_B, 1, 1), least_s(MACHINE, ONE_B, 512, 1)
    assert single == pytest.approx(0.0188, rel=0.01)
    assert prefill == pytest.approx(512 / 480, rel=0.01)
    assert least_s(replace(MACHINE, int8_per_s=0), ONE_B, 1, 1) is None


def test_ratios_are_to_the_best_of_the_others() -> None:
    turns = {
        name: [Turn(name, dict.fromkeys(report.GOALS, speed), 2**20)]
        for name, speed in (("us", 6.0), ("slow", 2.0), ("quick", 4.0))
    }
    rows = report.rows(turns, None, ONE_B, Work(512, 128, 32, 10))
    assert [row.ratios["prefill"] for row in rows] == [1.5, 2 / 6, 4 / 6]
    assert rows[0].shares == {}


def test_scores_are_those_of_transformers(cache: Path) -> None:
    folder = cache / "scored"
    write_checkpoint(folder, "tiny", lambda count: None)
    text = list(range(40, 60))
    with closing(Us()) as us:
        us.load(str(folder), 1, ("--dtype", "float32"))
        found = us.score(text)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    with torch.no_grad():
        rows = model(torch.tensor([text])).logits[0, :-1].log_softmax(-1)
    assert found.best == rows.argmax(-1).tolist()
    said = rows.gather(1, torch.tensor(text[1:])[:, None])[:, 0]
    assert found.logprobs == pytest.approx(said.tolist(), abs=1e-3)


def test_accuracy_is_perplexity_and_agreement() -> None:
    reference = [Scores([0.0, 0.0], [1, 2]), Scores([0.0, 0.0], [3, 4])]
    found = [Scores([-1.0, -3.0], [1, 7]), Scores([-2.0, -2.0], [3, 4])]
    assert compare_scores(found, reference) == Accuracy(pytest.approx(math.exp(2)), 0.75)


def test_all_peers_are_pinned() -> None:
    found = {peer.environment for peer in PEERS.values() if peer.environment}
    assert all("==" in package for each in found for package in each.packages)
    assert os.sep not in "".join(package for each in found for package in each.packages)
