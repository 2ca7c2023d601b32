"""Images: what goes in comes with the part's requirements, and a half-made one is none."""

import ctypes
import os
import shutil
from pathlib import Path

import pytest
from httptools.parser import parser
from packaging.requirements import Requirement

from homes import image
from homes.libraries import CannotStrip, strip
from homes.parts import BOTH, PARTS, Part
from homes.requirements import requirements
from tests.homes.test_containers import installed
from worker.kernels.build import LIBRARY
from worker.settings import WorkerSettings

ROOT = Path(__file__).parent.parent.parent


@pytest.mark.parametrize("part", ["worker", "webui"])
def test_packages_of_an_image_come_with_its_part_s_requirements(part: str) -> None:
    """A machine that has more, as one that runs tests, does not hide one that is named in vain."""
    assert set(PARTS[part].packages) <= installed(requirements(part))


def test_versions_of_occlum_s_images_are_fixed_and_ones_that_the_project_takes() -> None:
    lines = (ROOT / "occlum/versions.txt").read_text().splitlines()
    versions = dict(line.split("==") for line in lines if not line.startswith("#"))
    assert set(BOTH.packages) <= set(versions)
    for line in (*requirements("homes"), *requirements("webui")):
        wanted = Requirement(line)
        assert versions[wanted.name] in wanted.specifier


def test_image_of_both_holds_what_each_needs() -> None:
    for part in (PARTS["worker"], PARTS["webui"]):
        for patterns in ("packages", "ours", "with_source", "kept", "compiled"):
            assert set(getattr(part, patterns)) <= set(getattr(BOTH, patterns))


@pytest.mark.parametrize("home", ["occlum", "gramine"])
def test_worker_of_a_home_insists_on_its_compiled_kernels(home: str) -> None:
    settings = WorkerSettings.load(["--config", str(ROOT / home / "cloister.toml")])
    assert settings.kernels == "native"
    assert PARTS["worker"].compiled == (f"worker/kernels/{LIBRARY}",)


def test_failure_leaves_no_image(tmp_path: Path) -> None:
    out = tmp_path / "images/worker"
    absent = Part(packages=("no-such-distribution",), ours=(), unneeded=("*",))
    with pytest.raises(image.BadImage, match="no-such-distribution is not installed"):
        image.build(absent, out, ROOT)
    assert list(out.parent.iterdir()) == []


def test_pytorch_built_for_cuda_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    about = tmp_path / "torch-2.13.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: torch\nVersion: 2.13.0\n")
    (about / "RECORD").write_text("torch/__init__.py,,\ntorch/lib/libtorch_cuda_linalg.so,,\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(image.BadImage, match=r"torch 2\.13\.0 is built for CUDA.*CPU build"):
        image.build(Part(packages=("torch",), ours=(), unneeded=()), tmp_path / "image", ROOT)


def test_stripped_library_loads_and_the_one_it_came_from_stays(tmp_path: Path) -> None:
    made, taken = tmp_path / "made.so", tmp_path / "taken.so"
    shutil.copy(parser.__file__, made)
    before = made.read_bytes()
    os.link(made, taken)
    strip(taken)
    assert made.read_bytes() == before
    assert taken.stat().st_size < len(before)
    assert ctypes.CDLL(str(taken)).PyInit_parser


def test_what_cannot_be_stripped_is_told(tmp_path: Path) -> None:
    (tmp_path / "text.so").write_text("no library")
    with pytest.raises(CannotStrip, match=r"text\.so"):
        strip(tmp_path / "text.so")
