"""Occlum.json: what is rendered passes, and every way to weaken it is named."""

import copy
from collections.abc import Callable
from typing import Any

import pytest

from cloister.enclaves import PROFILES
from homes import occlum

Change = Callable[[dict[str, Any]], Any]


def settings() -> dict[str, Any]:
    return copy.deepcopy(occlum.render(PROFILES["1b"]))


@pytest.mark.parametrize("profile", PROFILES)
def test_rendered_settings_have_no_fault(profile: Any) -> None:
    made = occlum.render(PROFILES[profile])
    assert occlum.check(made) == []
    assert made["metadata"]["debuggable"] is False


def put(path: str, value: Any) -> Change:
    """Set a member, named by its path."""

    def change(made: dict[str, Any]) -> None:
        *folders, name = path.split("/")
        place: Any = made
        for folder in folders:
            place = place[int(folder) if folder.isdigit() else folder]
        place[name] = value

    return change


def drop(path: str) -> Change:
    def change(made: dict[str, Any]) -> None:
        *folders, name = path.split("/")
        place: Any = made
        for folder in folders:
            place = place[folder]
        del place[name]

    return change


HOST = {"target": "/models", "type": "hostfs", "source": "/models"}


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (put("metadata/debugable", False), "metadata.debugable: unknown; did you mean debuggable?"),
        (put("vm", {}), "vm: unknown"),
        (drop("feature"), "feature: is missing"),
        (drop("metadata/product_id"), "metadata.product_id: is missing"),
        (put("metadata/debuggable", True), "must be false"),
        (put("metadata/family_id/high", 0), "must be a text, not int"),
        (put("metadata/ext_prod_id/low", "0xg"), "at most 16 hexadecimal digits"),
        (put("resource_limits/user_space_size", "1.5GB"), "'1.5GB' must be a whole number"),
        (put("resource_limits/user_space_size", "12G"), "must be a whole number"),
        (put("resource_limits/user_space_size", "1000TB"), "at most"),
        (put("resource_limits/user_space_max_size", "1GB"), "is below user_space_size"),
        (put("resource_limits/max_num_of_threads", "many"), "must be a whole number, not str"),
        (put("resource_limits/init_num_of_threads", 999), "exceeds max_num_of_threads"),
        (put("env/untrusted", ["PYTHONPATH"]), "'PYTHONPATH' lets the host"),
        (put("env/untrusted", ["LD_PRELOAD"]), "'LD_PRELOAD' lets the host"),
        (put("env/default", ["OCCLUM=yes"]), "PYTHONHOME is missing"),
        (put("entry_points", ["/"]), "entry_points"),
        (put("feature/io_uring", 17), "between 0 and 16"),
        (lambda made: made["mount"].append(HOST), "hostfs is not verified"),
        (lambda made: made["mount"].pop(0), "0 mounts at /"),
        (put("mount/1/type", "tmpfs"), "'tmpfs' must be one of"),
        (put("mount/0/options/layers", [{"target": "/", "type": "sefs"}]), "no layer has MAC"),
    ],
)  # fmt: skip
def test_weakened_settings_are_named(change: Change, fault: str) -> None:
    made = settings()
    change(made)
    faults = occlum.check(made)
    assert any(fault in one for one in faults), faults


def test_demonstration_may_read_models_from_the_host() -> None:
    made = occlum.render(PROFILES["1b"], models_on_host="/models")
    assert occlum.check(made, demonstration=True) == []
    assert len(occlum.check(made)) == 1


def test_all_faults_are_told_at_once() -> None:
    assert len(occlum.check({})) > 5
    assert occlum.check([]) != []
