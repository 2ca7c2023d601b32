"""`cloister bench`: the lines that it prints, and the comparison of two runs."""

from dataclasses import replace
from pathlib import Path

import pytest

from worker.commands import bench
from worker.commands.bench import Figures

RUN = Figures("novice", 1, 128, 64, 0.05, 0.004, "abc")


@pytest.fixture(scope="module")
def printed() -> str:
    """What a real run of novice prints."""
    with pytest.MonkeyPatch.context() as patch:
        lines: list[str] = []
        patch.setattr(bench.sys.stdout, "write", lines.append)
        words = ["--prompt-tokens", "8", "--tokens", "4", "--rounds", "1", "--cache-mb", "8"]
        assert bench.main([*words, "--model", "novice", "--threads", "1"]) == 0
    return "".join(lines)


def test_run_prints_the_costs_in_the_usual_words(printed: str) -> None:
    _, first, later, _ = printed.strip().splitlines()
    assert first.startswith("First token cost 0.")
    assert later.startswith("Last token cost average 0.")
    assert later.endswith("s (4 tokens in all)")


def test_run_compares_with_itself(
    printed: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "run.txt"
    path.write_text(printed)
    assert bench.main(["--compare", str(path), str(path)]) == 0
    text = capsys.readouterr().out
    assert text.count("1.00x") == 2
    assert "the same tokens" in text


def test_times_are_medians_of_the_rounds_that_count() -> None:
    one = bench.Round((1, 2, 3), (0.5, 0.6, 0.9))
    assert one.later_s == pytest.approx(0.2)


def test_other_tokens_are_told() -> None:
    *_, last = bench.compared(RUN, replace(RUN, digest="def"))
    assert last == "DIFFERENT tokens were generated"


def test_digest_names_tokens_and_their_order() -> None:
    assert bench.digest([1, 2]) == bench.digest((1, 2)) != bench.digest([2, 1])


def test_runs_of_different_work_are_not_compared() -> None:
    with pytest.raises(bench.BadSettings, match="tokens: 64 and 32"):
        list(bench.compared(RUN, replace(RUN, tokens=32)))


@pytest.mark.parametrize("text", ["", "hello", '{"model": 1}'])
def test_what_is_no_run_is_refused(text: str, tmp_path: Path) -> None:
    path = tmp_path / "run.txt"
    path.write_text(text)
    with pytest.raises(bench.BadSettings, match="last line"):
        bench.read(path)


@pytest.mark.parametrize("words", [["--tokens", "1"], ["--prompt-tokens", "2000"]])
def test_impossible_lengths_are_refused(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert bench.main([*words, "--cache-mb", "8"]) == 2
    assert "tokens" in capsys.readouterr().err
