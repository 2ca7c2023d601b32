"""Containers: images hold what their part imports, and descriptions name only what there is."""

import importlib.metadata
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from packaging.requirements import Requirement

from controller.settings import ControllerSettings
from homes.requirements import PARTS, requirements
from webui.settings import PageSettings
from worker.gpu.settings import GpuSettings
from worker.kernels.build import LIBRARY
from worker.settings import WorkerSettings

ROOT = Path(__file__).parent.parent.parent
DOCKER = ROOT / "docker"
DOCKERFILE = (DOCKER / "Dockerfile").read_text()
KUBERNETES = "1.37"
OVERLAYS = ("base", "gpu", "sgx")

ENTRY = {
    "controller": "controller.__main__, controller.app",
    "worker": "worker.__main__, worker.build, worker.drain, httptools, huggingface_hub",
    "gpu": "worker.gpu.__main__, worker.gpu.build, huggingface_hub",
    "webui": "webui.__main__, webui.app, httptools",
}
VARIABLES = {
    f"CLOISTER_{cls.program}_{name}".upper()
    for cls in (ControllerSettings, WorkerSettings, GpuSettings, PageSettings)
    for name in cls.model_fields
}


def installed(lines: list[str]) -> set[str]:
    """All distributions that pip brings along with these."""
    found: set[str] = set()
    wanted = [Requirement(line) for line in lines]
    while wanted:
        one = wanted.pop()
        name = one.name.lower().replace("_", "-")
        if name in found or (one.marker and not one.marker.evaluate({"extra": ""})):
            continue
        found.add(name)
        wanted += [Requirement(line) for line in importlib.metadata.requires(name) or ()]
    return found


ONLY = """
import importlib.metadata, sys
there = set(sys.argv[1].split())
absent = {
    module
    for module, names in importlib.metadata.packages_distributions().items()
    if not there & {name.lower().replace("_", "-") for name in names}
}

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in absent:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Absent())
"""
"""Hides every installed package but those named in the first argument."""


@pytest.mark.parametrize("part", PARTS)
def test_image_holds_what_its_part_imports(part: str) -> None:
    there = installed(requirements(part)) | {"cloister"}
    program = f"{ONLY}import {ENTRY[part]}"
    words = [sys.executable, "-c", program, " ".join(sorted(there))]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_package_that_is_left_out_is_missed() -> None:
    there = installed(requirements("controller")) - {"uvicorn"} | {"cloister"}
    words = [sys.executable, "-c", f"{ONLY}import {ENTRY['controller']}", " ".join(there)]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True)
    assert "No module named 'uvicorn'" in done.stderr


def test_requirements_are_the_project_s_own_lines() -> None:
    assert "torch==2.13.0" in requirements("worker")
    assert not any("torch" in line or "gradio" in line for line in requirements("controller"))
    with pytest.raises(KeyError):
        requirements("nonsense")


def targets() -> dict[str, str]:
    """The text of each stage of the Dockerfile, by name."""
    stages = re.split(r"^FROM \S+ AS (\S+)$", DOCKERFILE, flags=re.MULTILINE)[1:]
    return dict(zip(stages[::2], stages[1::2], strict=True))


@pytest.mark.parametrize("part", PARTS)
def test_stage_of_a_part_copies_its_room_and_has_a_check(part: str) -> None:
    stage = targets()[part]
    room = "worker" if part == "gpu" else part
    assert f"COPY {room} /app/{room}" in stage
    assert f"COPY --from={part}-packages" in stage
    assert "HEALTHCHECK" in stage
    assert "RUN" not in stage
    assert "USER 10001" in targets()["part"]


def test_worker_s_image_has_compiled_kernels_and_insists_on_them() -> None:
    assert f"COPY --from=kernels /kernels/{LIBRARY} /app/worker/kernels/" in targets()["worker"]
    assert "CLOISTER_WORKER_KERNELS=native" in targets()["worker"]
    assert "COPY worker/kernels /kernels" in targets()["kernels"]  # whole, no list of sources


def services(name: str) -> dict[str, Any]:
    """What a compose file says of each service."""
    found: dict[str, Any] = yaml.safe_load((DOCKER / name).read_text())["services"]
    return found


def test_compose_names_targets_and_settings_that_there_are() -> None:
    ours = {name: one for name, one in services("compose.yaml").items() if "build" in one}
    assert {one["build"]["target"] for one in ours.values()} == set(PARTS)
    for one in ours.values():
        assert one["image"] == f"cloister-{one['build']['target']}"
        assert set(one["environment"]) <= VARIABLES
        assert one["read_only"] is True
        assert one["cap_drop"] == ["ALL"]


def test_profiles_add_workers_to_the_plain_stack() -> None:
    profiles = {name: one.get("profiles", []) for name, one in services("compose.yaml").items()}
    assert {name for name, of in profiles.items() if not of} == {"controller", "worker", "webui"}
    assert {name for name, of in profiles.items() if of == ["gpu"]} == {"split", "gpu"}
    assert {name for name, of in profiles.items() if of == ["sgx"]} == {"enclave"}


def test_gpu_server_cannot_change_the_weights_of_workers() -> None:
    places = {name: services("compose.yaml")[name]["volumes"] for name in ("gpu", "split")}
    assert not set(places["gpu"]) & set(places["split"])


@pytest.mark.parametrize(("profile", "service"), [("gpu", "gpu"), ("sgx", "enclave")])
def test_devices_are_in_a_file_of_their_own(profile: str, service: str) -> None:
    """A device that is missing would make `up` fail for all."""
    plain = services("compose.yaml")
    assert not any("devices" in one or "deploy" in one for one in plain.values())
    added = services(f"compose.{profile}.yaml")
    assert set(added) == {service}
    assert "devices" in added[service] or "devices" in str(added[service]["deploy"])


def documents() -> list[dict[str, Any]]:
    """Every resource of docker/kubernetes, as it is before patches."""
    files = sorted((DOCKER / "kubernetes").glob("*/*.yaml"))
    return [
        document
        for file in files
        if file.name != "kustomization.yaml"
        for document in yaml.safe_load_all(file.read_text())
    ]


def kustomization(overlay: str) -> dict[str, Any]:
    text = (DOCKER / "kubernetes" / overlay / "kustomization.yaml").read_text()
    found: dict[str, Any] = yaml.safe_load(text)
    return found


def containers(kind: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    if kind["kind"] == "Deployment":
        found = kind["spec"]["template"]["spec"]["containers"]
    return found


@pytest.mark.parametrize(
    "document", documents(), ids=lambda one: f"{one['kind']}-{one['metadata']['name']}"
)
def test_kubernetes_resource_follows_its_schema(document: dict[str, Any]) -> None:
    kubernetes_validate.validate(document, KUBERNETES, strict=True)


def test_schema_sees_a_misspelled_name() -> None:
    wrong = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "a"}, "specs": {}}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, KUBERNETES, strict=True)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_kustomization_lists_every_resource(overlay: str) -> None:
    files = {file.name for file in (DOCKER / "kubernetes" / overlay).glob("*.yaml")}
    listed = {name for name in kustomization(overlay)["resources"] if name != "../base"}
    assert listed == files - {"kustomization.yaml"}


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed")
@pytest.mark.parametrize("overlay", OVERLAYS)
def test_patched_resources_follow_their_schemas(overlay: str) -> None:
    words = ["kubectl", "kustomize", str(DOCKER / "kubernetes" / overlay)]
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    rendered = list(yaml.safe_load_all(done.stdout))
    for document in rendered:
        kubernetes_validate.validate(document, KUBERNETES, strict=True)
    names = {container["name"] for document in rendered for container in containers(document)}
    added = {"base": {"worker"}, "gpu": {"worker", "gpu"}, "sgx": {"enclave"}}
    assert names == {"controller", "webui"} | added[overlay]


def test_every_container_has_probes_a_read_only_root_and_settings_that_there_are() -> None:
    found = [container for document in documents() for container in containers(document)]
    assert {container["name"] for container in found} == {*PARTS, "enclave"}
    for container in found:
        names = {entry["name"] for entry in container.get("env", ())}
        assert {name for name in names if name.startswith("CLOISTER_")} <= VARIABLES
        assert {"readinessProbe", "livenessProbe"} <= set(container)
        assert container["securityContext"]["readOnlyRootFilesystem"] is True


def test_patches_use_settings_that_there_are() -> None:
    (patch,) = kustomization("gpu")["patches"]
    names = {change["value"]["name"] for change in yaml.safe_load(patch["patch"])}
    assert "CLOISTER_WORKER_GPU" in names <= VARIABLES


def test_gpu_server_does_not_learn_the_join_token() -> None:
    (gpu,) = [
        one for document in documents() for one in containers(document) if one["name"] == "gpu"
    ]
    assert "join-token" not in str(gpu)
    assert "JOIN_TOKEN" not in str(services("compose.yaml")["gpu"])


def test_enclave_asks_for_the_device_plugin_s_resources() -> None:
    (enclave,) = [one for d in documents() for one in containers(d) if one["name"] == "enclave"]
    asked = {name for name in enclave["resources"]["limits"] if name.startswith("sgx.intel.com/")}
    assert asked == {"sgx.intel.com/enclave", "sgx.intel.com/provision", "sgx.intel.com/epc"}


def test_workers_are_added_when_requests_wait() -> None:
    (scaler,) = [one for one in documents() if one["kind"] == "HorizontalPodAutoscaler"]
    (metric,) = scaler["spec"]["metrics"]
    assert metric["pods"]["metric"]["name"] == "cloister_queued_requests"
    assert 'yield _gauge("queued_requests"' in (ROOT / "worker/api/metrics.py").read_text()
