"""The benchmark of long contexts, on a small shape: all it tells, and the page it writes."""

import json
import os
from pathlib import Path
from xml.etree import ElementTree

import pytest

from benchmarks import context
from benchmarks._plot import Panel, svg, ticks

SMALL = (
    *("--model", "small-5m", "--weights", "bf16", "--threads", "1", "--rounds", "1"),
    *("--prompts", "32", "64", "--contexts", "16", "40", "--batches", "1", "2"),
    *("--tokens", "64", "--step-tokens", "64"),
)


@pytest.mark.skipif(not os.access(context.CLEAR, os.W_OK), reason="peaks cannot be reset")
def test_figures_are_told_and_put_between_the_marks(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "performance.md"
    page.write_text(f"before\n{context.BEGIN}\nold\n{context.END}\nafter\n", encoding="utf-8")
    context.main([*SMALL, "--write", str(tmp_path)])
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert [row["tokens"] for row in told["prefill"]] == [32, 64]
    # Two sequences of 40 tokens would need more than 64.
    assert [(row["batch"], row["context"]) for row in told["decode"]] == [(1, 16), (1, 40), (2, 16)]
    assert [row["tokens"] for row in told["shared"]] == [32]
    text = page.read_text(encoding="utf-8")
    assert text.startswith("before\n")
    assert text.endswith(f"{context.END}\nafter\n")
    assert "old" not in text
    assert "| 64 | " in text
    ElementTree.parse(tmp_path / "context.svg")


def test_every_point_of_a_curve_is_drawn() -> None:
    drawn = svg([Panel("a < b", {"one": [("1", 2), ("10", 4)], "two": [("1", 3)]})])
    circles = ElementTree.fromstring(drawn).iter("{http://www.w3.org/2000/svg}circle")
    assert len(list(circles)) == 3


@pytest.mark.parametrize(
    ("top", "wanted"),
    [(80, [0, 20, 40, 60, 80]), (81, [0, 50, 100]), (0.3, [0, 0.1, 0.2, 0.3]), (0, [0, 1])],
)
def test_axis_has_round_numbers_up_to_the_highest_value(top: float, wanted: list[float]) -> None:
    assert ticks(top) == pytest.approx(wanted)


def test_committed_page_has_the_marks() -> None:
    page = Path(__file__).parent.parent.parent / "docs" / "performance.md"
    _, _, rest = page.read_text(encoding="utf-8").partition(context.BEGIN)
    assert context.END in rest
