"""How a worker's memory comes, and what of it is given back once the model is loaded."""

import ctypes
import mmap
import os
import subprocess
import sys
from pathlib import Path

import pytest

from worker.memory import CODE, SMAPS, comes_back, in_large_pages

ROOT = Path(__file__).parent.parent
LARGE_PAGES = Path("/sys/kernel/mm/transparent_hugepage/enabled")

PROGRAM = """
import torch
from worker.memory import give_back

def mapped() -> int:
    lines = open("/proc/self/status").read().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssFile"))

x = torch.arange(12.0).reshape(3, 4)
wanted = (x @ x.T).softmax(-1).tolist()
before = mapped()
give_back()
left = mapped()
assert (x @ x.T).softmax(-1).tolist() == wanted
print(before - left)
"""


def test_code_is_forgotten_and_runs_again() -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-P", "-c", PROGRAM], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 20 * 1024


def test_files_come_back_here(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(os.urandom(10_000))
    assert comes_back(path)


FIELDS = "Size:   8 kB\nRss:   4 kB\nAnonymous:   {} kB\nVmFlags: rd ex\n"


def test_only_unchanged_code_of_files_is_forgotten() -> None:
    maps = (
        "7f0000000000-7f0000002000 r-xp 00001000 08:01 77 /lib/a b.so\n" + FIELDS.format(0),
        "7f0000010000-7f0000012000 r-xp 00001000 08:01 77 /lib/changed.so\n" + FIELDS.format(4),
        "7f0000020000-7f0000022000 rw-p 00001000 08:01 77 /lib/data.so\n" + FIELDS.format(0),
        "7f0000030000-7f0000032000 r-xp 00000000 00:00 0 \n" + FIELDS.format(0),
        "7f0000040000-7f0000042000 r-xp 00000000 00:00 0 [vdso]\n" + FIELDS.format(0),
        "7f0000050000-7f0000052000 r-xp 00001000 08:01 77 /lib/last.so\n" + FIELDS.format(0),
    )
    found = [match[1] for match in CODE.finditer("".join(maps))]
    assert found == ["7f0000000000", "7f0000050000"]


@pytest.mark.skipif(not LARGE_PAGES.exists(), reason="this system has no large pages")
def test_whole_pages_within_the_memory_may_be_large() -> None:
    with mmap.mmap(-1, 8 * mmap.PAGESIZE) as memory:
        view = ctypes.c_char.from_buffer(memory)
        begin = ctypes.addressof(view)
        in_large_pages(begin + 1, 4 * mmap.PAGESIZE)
        maps = SMAPS.read_text().split("VmFlags:")
        own = f"{begin + mmap.PAGESIZE:x}-{begin + 4 * mmap.PAGESIZE:x} "
        at = next(place for place, text in enumerate(maps) if own in text)
        assert "hg" in maps[at + 1].partition("\n")[0].split()
        del view


def test_less_than_a_page_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []
    monkeypatch.setattr(ctypes, "CDLL", asked.append)
    in_large_pages(mmap.PAGESIZE + 1, mmap.PAGESIZE)
    assert asked == []
