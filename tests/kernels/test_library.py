"""The library itself: what it asks of a machine, and what happens where it is not there."""

import logging
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from cloister.errors import BadSettings
from tests.kernels.conftest import TILES
from worker.build import build as build_worker
from worker.kernels import native
from worker.kernels.build import LIBRARY, CannotCompile, build
from worker.kernels.cores import physical_cores
from worker.kernels.library import Library, NoLibrary
from worker.kernels.native import Native, find_kernels
from worker.kernels.twins import Twins
from worker.settings import WorkerSettings

OLDEST_GLIBC = (2, 28)
ROOT = Path(__file__).parent.parent.parent


def test_loads_on_old_systems(compiled: Path) -> None:
    told = subprocess.run(["objdump", "-T", compiled], capture_output=True, text=True, check=True)
    versions = re.findall(r"\(?(GLIBC\w*)_([\d.]+)\)?", told.stdout)
    assert versions
    assert {name for name, _ in versions} == {"GLIBC"}
    assert all(tuple(map(int, v.split("."))) <= OLDEST_GLIBC for _, v in versions)


def test_needs_the_c_library_alone(compiled: Path) -> None:
    told = subprocess.run(["objdump", "-p", compiled], capture_output=True, text=True, check=True)
    assert re.findall(r"NEEDED\s+(\S+)", told.stdout) == ["libc.so.6"]


def test_best_variant_comes_first(library: Library) -> None:
    assert list(library.variants())[-1] == "portable"
    assert Native(library).name == next(iter(library.variants()))


def test_variant_that_computes_wrongly_is_not_used(
    tmp_path: Path, library: Library, caplog: pytest.LogCaptureFixture
) -> None:
    if "avx512" not in library.variants():
        pytest.skip("tiles are beside AVX-512")
    tiles = tmp_path / "tiles.h"
    tiles.write_text(f'#include "{TILES}"\n#undef _tile_dpbsud\n#define _tile_dpbsud(...)\n')
    build(tmp_path / LIBRARY, tiles=tiles)
    with caplog.at_level(logging.WARNING):
        assert "amx" not in Library(tmp_path / LIBRARY).variants()
    assert "amx are not used" in caplog.text


@pytest.mark.parametrize(
    ("unknown", "left_out"), [("-mamx", {"amx"}), ("-mavx512bf16", {"amx", "avx512bf16"})]
)
def test_older_compiler_leaves_out_what_it_does_not_know(
    tmp_path: Path,
    library: Library,
    monkeypatch: pytest.MonkeyPatch,
    unknown: str,
    left_out: set[str],
) -> None:
    old = tmp_path / "old-compiler"
    old.write_text(f'#!/bin/sh\ncase "$*" in *{unknown}*) exit 1;; esac\nexec g++ "$@"\n')
    old.chmod(0o755)
    monkeypatch.setenv("CXX", str(old))
    build(tmp_path / LIBRARY)
    assert Library(tmp_path / LIBRARY).variants().keys() == library.variants().keys() - left_out


def absent(monkeypatch: pytest.MonkeyPatch, path: Path) -> None:
    monkeypatch.setattr(native, "Library", lambda: Library(path))


def test_without_a_library_the_twins_compute_and_say_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    absent(monkeypatch, tmp_path / LIBRARY)
    with caplog.at_level(logging.WARNING):
        assert isinstance(find_kernels(), Twins)
    assert [record.message for record in caplog.records] == [
        "the kernels run in PyTorch, which is slow: libcloister_kernels.so was not "
        "compiled; `python worker/kernels/build.py` does it"
    ]


def test_worker_that_must_be_native_refuses_to_start_without_a_library(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    absent(monkeypatch, tmp_path / LIBRARY)
    with pytest.raises(BadSettings, match="was not compiled"):
        build_worker(WorkerSettings(kernels="native", cache_mb=8))


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ('extern "C" int cloister_version() { return 0; }', "another version"),
        ("int other;", "cannot be loaded"),
    ],
)
def test_library_of_another_version_is_refused(
    compiled: Path, tmp_path: Path, source: str, message: str
) -> None:
    other, code = tmp_path / LIBRARY, tmp_path / "other.cpp"
    code.write_text(source)
    subprocess.run(["g++", "-shared", "-fPIC", "-o", other, code], check=True)
    with pytest.raises(NoLibrary, match=message):
        Library(other)


def test_file_that_is_no_library_is_refused(tmp_path: Path) -> None:
    (tmp_path / LIBRARY).write_text("text")
    with pytest.raises(NoLibrary, match="cannot be loaded"):
        Library(tmp_path / LIBRARY)


def test_missing_compiler_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", str(tmp_path / "none"))
    with pytest.raises(CannotCompile, match="no C\\+\\+ compiler"):
        build(tmp_path / LIBRARY)
    assert list(tmp_path.iterdir()) == []


def test_threads_of_one_core_count_once(tmp_path: Path) -> None:
    for number in os.sched_getaffinity(0):
        folder = tmp_path / f"cpu{number}" / "topology"
        folder.mkdir(parents=True)
        (folder / "thread_siblings_list").write_text("0-63\n")
    assert physical_cores(tmp_path) == 1
    assert physical_cores(tmp_path / "none") == len(os.sched_getaffinity(0))


@pytest.mark.timeout(600)
def test_sanitizers_find_nothing(library: Library, tmp_path: Path) -> None:
    """The same comparisons under address and undefined-behaviour sanitizers."""
    path = tmp_path / LIBRARY
    build(path, sanitize=True)
    loaded = subprocess.run(
        ["g++", "-print-file-name=libasan.so"], capture_output=True, text=True, check=True
    )
    environment = {
        **os.environ,
        "LD_PRELOAD": loaded.stdout.strip(),
        "ASAN_OPTIONS": "detect_leaks=0",
        "PYTHONPATH": str(ROOT),
    }
    script = Path(__file__).parent / "under_sanitizers.py"
    done = subprocess.run(
        [sys.executable, "-P", script, path], env=environment, capture_output=True, text=True
    )
    compared = 83 * len(library.variants())
    assert (done.returncode, done.stdout) == (0, f"compared {compared}\n"), done.stderr
