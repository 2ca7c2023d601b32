"""The conformance suite finds nothing to complain of in our own stack."""

import asyncio
import json
from pathlib import Path

import pytest

from cloister.conform.command import CHECKS, ConformSettings, examine, main
from tests.e2e.stack import Stack

SKIPPED = {"operation.auth": "no key was given"}


def test_all_is_green_on_the_real_stack(stack: Stack) -> None:
    report = asyncio.run(examine(ConformSettings(url=stack.api_url)))
    assert len(report.results) == len(CHECKS)
    wrong = {
        result.id: result.why for result in report.results if result.status in ("fail", "warn")
    }
    assert wrong == {}
    skipped = {result.id: result.why for result in report.results if result.status == "skip"}
    assert {id for id in skipped if not id.startswith("further.")} == set(SKIPPED)


def test_command_prints_a_table_and_writes_json(
    stack: Stack, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "report.json"
    assert main([stack.api_url, "--only", "models.", "--report", str(file)]) == 0
    assert "models.listed" in capsys.readouterr().out
    told = json.loads(file.read_text())
    assert told["counts"] == {"pass": 3}
    assert {check["status"] for check in told["checks"]} == {"pass"}


def test_nobody_to_ask_is_told_by_the_exit_status(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["http://127.0.0.1:1/v1"]) == 2
    assert capsys.readouterr().err.startswith("error: nothing answers")
