"""The manifest: rendered for each profile, and every way to weaken it is named."""

import copy
from pathlib import Path
from typing import Any

import pytest

from cloister.enclaves import PROFILES
from homes import gramine
from homes.environment import FIXED
from tests.homes.test_occlum import Change, drop, put

ROOT = Path(__file__).parent.parent.parent
TEMPLATES = ROOT / "gramine"
VALUES = {
    "arguments": "",
    "image": "/image",
    "settings": "/settings.toml",
    "model": "",
    "demonstration_key": "",
    "log_level": "error",
    "enclave_mb": PROFILES["1b"].gramine_bytes // 2**20,
    "max_threads": PROFILES["1b"].gramine_threads,
}


def rendered(part: str = "worker", **changes: Any) -> str:
    template = TEMPLATES / f"{part}.manifest.template"
    return gramine.render(template, {**VALUES, **changes}, gramine.Runtime("/runtime"))


def manifest() -> dict[str, Any]:
    return copy.deepcopy(gramine.parse(rendered()))


@pytest.mark.parametrize("profile", PROFILES.values(), ids=list(PROFILES))
def test_rendered_manifest_has_no_fault(profile: Any) -> None:
    size = profile.gramine_bytes // 2**20
    text = rendered(enclave_mb=size, max_threads=profile.gramine_threads)
    assert gramine.check(gramine.parse(text)) == []


def test_encrypted_model_is_mounted_with_its_key() -> None:
    made = gramine.parse(rendered(model="/encrypted"))
    assert gramine.check(made) == []
    (mount,) = (one for one in made["fs"]["mounts"] if one["path"] == "/model")
    assert mount["type"] == "encrypted"
    assert mount["key_name"] == "default"


def test_what_gramine_s_own_tool_adds_is_known() -> None:
    made = manifest()
    made["sgx"].update(enable_stats=False, edmm_enable=False, use_exinfo=False)
    made["sgx"]["cpu_features"].update(avx="unspecified", mpx="disabled", pkru="disabled")
    assert gramine.check(made) == []


def test_model_s_key_is_for_demonstrations() -> None:
    made = gramine.parse(rendered(model="/encrypted", demonstration_key="00" * 16))
    assert made["fs"]["insecure__keys"] == {"default": "00" * 16}
    assert gramine.check(made, demonstration=True) == []
    assert gramine.check(made) == ["fs.insecure__keys: is an insecure option"]


def test_gpu_s_side_differs_in_its_command_alone() -> None:
    made = gramine.parse(rendered("gpu"))
    assert gramine.check(made) == []
    assert made["loader"]["argv"][1:] == ["-m", "worker.gpu"]
    made["loader"]["argv"][2] = "worker"
    assert made == manifest()


def test_environment_is_that_of_every_home() -> None:
    values = gramine.environment_of(manifest())
    assert values == {**FIXED, "LD_LIBRARY_PATH": "/lib:/opt/python/lib"}


def test_missing_value_of_the_template_is_told() -> None:
    with pytest.raises(ValueError, match="undefined"):
        gramine.render(TEMPLATES / "worker.manifest.template", {}, gramine.Runtime())


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (put("sgx/enclave_sise", "1G"), "unknown; did you mean enclave_size?"),
        (put("sgx/thread_num", 4), "sgx.thread_num: unknown"),
        (drop("libos"), "libos: is missing"),
        (drop("sgx/enclave_size"), "sgx.enclave_size: is missing"),
        (put("sgx/enclave_size", "12G"), "must be a power of two"),
        (put("sgx/enclave_size", "1024G"), "at most"),
        (put("sgx/enclave_size", "16GB"), "must be a whole number"),
        (put("sgx/debug", True), "must be false"),
        (drop("sgx/debug"), "must be false"),
        (put("sgx/remote_attestation", "none"), "must be one of dcap"),
        (put("sgx/allowed_files", ["file:/etc/hosts"]), "must be empty"),
        (put("sgx/file_check_policy", "allow_all_but_log"), "unknown"),
        (put("sgx/edmm_enable", True), "needs use_exinfo"),
        (put("sgx/enable_stats", True), "must be false"),
        (put("sgx/insecure__rpc_thread_num", 4), "insecure option"),
        (put("loader/insecure__use_cmdline_argv", True), "insecure option"),
        (put("loader/insecure__use_host_env", True), "insecure option"),
        (put("loader/env/LD_PRELOAD", {"passthrough": True}), "lets the host"),
        (put("loader/env/PATH", 7), "must be a text"),
        (put("loader/log_level", "trace"), "must be one of"),
        (put("loader/argv", []), "must hold the command line"),
        (put("fs/insecure__keys", {"default": "00"}), "insecure option"),
        (put("fs/mounts/0/type", "untrusted_shm"), "must be one of"),
        (put("fs/mounts/0/uri", "dev:/x"), "must begin with file:"),
        (put("sys/disallow_subprocesses", False), "each child"),
        (put("sys/debug__mock_syscalls", []), "insecure option"),
        (put("sgx/trusted_files", ["file:/a", "file:/a"]), "named twice"),
        (put("sgx/trusted_files", []), "must name the files"),
    ],
)  # fmt: skip
def test_weakened_manifest_is_named(change: Change, fault: str) -> None:
    made = manifest()
    change(made)
    faults = gramine.check(made)
    assert any(fault in one for one in faults), faults
