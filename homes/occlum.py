"""Occlum.json: rendered for a profile, and checked more strictly than Occlum does.

Occlum's own tool ignores unknown names, prints sizes that it cannot read and goes on, and signs
for debugging by default. The rules are those of its schema and documentation (v0.31).
"""

import re
from collections.abc import Mapping
from typing import Any

from cloister.enclaves import Profile
from homes.environment import FIXED, HARMLESS
from homes.table import UNITS, Table

LARGEST_BYTES = 512 * 2**30
PAGE_BYTES = 4096
LEAST_CACHE_BYTES = 192 * 2**10
LEAST_DISK_BYTES = 5 * 2**30
FILE_SYSTEMS = ("sefs", "unionfs", "ramfs", "hostfs", "devfs", "procfs", "ext2")
HALF = re.compile(r"0x[0-9a-fA-F]{1,16}")


def render(profile: Profile, *, models_on_host: str | None = None) -> dict[str, Any]:
    """The settings of a release. `models_on_host` is a folder that is mounted unverified.

    The host can read and change what is mounted so: for demonstrations alone.
    """
    return {
        "resource_limits": {
            "kernel_space_heap_size": f"{profile.kernel_bytes // 2**20}MB",
            "kernel_space_stack_size": "1MB",
            "user_space_size": f"{profile.occlum_bytes // 2**20}MB",
            "max_num_of_threads": profile.occlum_threads,
        },
        "process": {
            "default_stack_size": "8MB",
            "default_heap_size": "512MB",
            "default_mmap_size": "512MB",
        },
        "entry_points": ["/bin"],
        "env": {
            "default": ["OCCLUM=yes", *(f"{name}={value}" for name, value in FIXED.items())],
            "untrusted": list(HARMLESS),
        },
        "metadata": {
            "product_id": 0,
            "version_number": 0,
            "debuggable": False,
            "enable_kss": False,
            "family_id": {"high": "0x0", "low": "0x0"},
            "ext_prod_id": {"high": "0x0", "low": "0x0"},
            "disable_log": True,
        },
        "feature": {"amx": 2, "pkru": 0, "io_uring": 0, "enable_edmm": False},
        "mount": _mounts(models_on_host),
    }


def _mounts(models_on_host: str | None) -> list[dict[str, Any]]:
    lower = {
        "target": "/",
        "type": "sefs",
        "source": "./build/mount/__ROOT",
        "options": {"MAC": ""},
    }
    upper = {"target": "/", "type": "sefs", "source": "./run/mount/__ROOT"}
    root = {"target": "/", "type": "unionfs", "options": {"layers": [lower, upper]}}
    models = {"target": "/models", "type": "hostfs", "source": models_on_host}
    temporary = {"target": "/tmp", "type": "ramfs"}
    return [root, temporary, models] if models_on_host else [root, temporary]


def check(settings: Any, *, demonstration: bool = False) -> list[str]:
    """All faults; none for settings that may be built. Only a demonstration may use hostfs."""
    faults: list[str] = []
    top = Table(settings, "", faults)
    _limits(top.table("resource_limits"))
    _process(top.table("process"))
    _entry_points(top)
    _environment(top.table("env"))
    _metadata(top.table("metadata"))
    _feature(top.table("feature"))
    _check_mounts(top, demonstration)
    top.close()
    return faults


def _limits(table: Table) -> None:
    threads = table.integer("max_num_of_threads", 1, 4096)
    first = table.integer("init_num_of_threads", 1, 4096, default=threads)
    if first > threads:
        table.fault("init_num_of_threads", f"{first} exceeds max_num_of_threads, {threads}")
    _size(table, "kernel_space_stack_size")
    for name in ("kernel_space_heap", "user_space"):
        size = _size(table, f"{name}_size")
        if table.has(f"{name}_max_size") and _size(table, f"{name}_max_size") < size:
            table.fault(f"{name}_max_size", f"is below {name}_size")
    table.close()


def _size(table: Table, name: str) -> int:
    size = table.size(name, UNITS)
    if size > LARGEST_BYTES or size % PAGE_BYTES or not size:
        table.fault(name, f"{size} bytes: at most {LARGEST_BYTES}, in pages of {PAGE_BYTES}")
    return size


def _process(table: Table) -> None:
    for name in ("default_stack_size", "default_heap_size", "default_mmap_size"):
        _size(table, name)
    table.close()


def _entry_points(top: Table) -> None:
    points = top.items("entry_points")
    if not points:
        top.fault("entry_points", "must name at least one folder of programs")
    for point in points:
        if not isinstance(point, str) or not point.startswith("/") or point == "/":
            top.fault("entry_points", f"{point!r} must be an absolute path below the root")


def _environment(table: Table) -> None:
    values: dict[str, str] = {}
    for entry in table.items("default"):
        name, equals, value = str(entry).partition("=")
        if not equals or not name:
            table.fault("default", f"{entry!r} must be NAME=VALUE")
        values[name] = value
    for name in ("PYTHONHOME", "PATH"):
        if name not in values:
            table.fault("default", f"{name} is missing; Python does not start without it")
    for name in table.items("untrusted"):
        if name not in HARMLESS:
            table.fault("untrusted", f"{name!r} lets the host set what it may not")
    table.close()


def _metadata(table: Table) -> None:
    table.integer("product_id", 0, 0xFFFF)
    table.integer("version_number", 0, 0xFFFF)
    if table.flag("debuggable"):
        table.fault("debuggable", "must be false: the host can read a debuggable enclave")
    table.flag("enable_kss")
    table.flag("disable_log", default=False)
    for name in ("family_id", "ext_prod_id"):
        pair = table.table(name)
        for half in ("high", "low"):
            if not HALF.fullmatch(pair.text(half)):
                pair.fault(half, "must be a text of at most 16 hexadecimal digits behind 0x")
        pair.close()
    table.close()


def _feature(table: Table) -> None:
    table.integer("amx", 0, 2, default=0)
    table.integer("pkru", 0, 2, default=0)
    table.integer("io_uring", 0, 16, default=0)
    table.flag("enable_edmm", default=False)
    table.flag("enable_posix_shm", default=False)
    table.close()


def _check_mounts(top: Table, demonstration: bool) -> None:
    roots = 0
    for mount in top.tables("mount"):
        kind = mount.choice("type", FILE_SYSTEMS)
        target = mount.text("target")
        if not target.startswith("/"):
            mount.fault("target", f"{target!r} must be an absolute path")
        if kind == "hostfs" and not demonstration:
            mount.fault("type", "hostfs is not verified; a release may not read from the host")
        mount.text("source", default="")
        options = mount.table("options") if mount.has("options") else None
        if target == "/":
            roots += 1
            _root(mount, kind, options)
        elif options is not None:
            _options(options, kind)
        mount.close()
    if roots != 1:
        top.fault("mount", f"{roots} mounts at /; exactly one is needed")


def _root(mount: Table, kind: str, options: Table | None) -> None:
    if kind != "unionfs" or options is None:
        mount.fault("type", "the root must be a unionfs with layers")
        return
    measured = False
    for layer in options.tables("layers"):
        layer.choice("type", ("sefs", "unionfs", "ext2"))
        layer.text("target")
        layer.text("source", default="")
        if layer.has("options"):
            inner = layer.table("options")
            measured = measured or inner.has("MAC")
            _options(inner, "sefs")
        layer.close()
    if not measured:
        mount.fault("options.layers", "no layer has MAC: the image would not be measured")
    options.close()


def _options(options: Table, kind: str) -> None:
    options.text("MAC", default="")
    options.flag("integrity_only", default=False)
    options.flag("temporary", default=False)
    if options.has("autokey_policy"):
        options.integer("autokey_policy", 0, 1)
    if options.has("cache_size"):
        size = options.size("cache_size", UNITS)
        if size < LEAST_CACHE_BYTES or size % PAGE_BYTES:
            options.fault("cache_size", f"at least {LEAST_CACHE_BYTES} bytes, in whole pages")
    if kind == "ext2":
        size = options.size("disk_size", UNITS)
        if size < LEAST_DISK_BYTES:
            options.fault("disk_size", f"at least {LEAST_DISK_BYTES} bytes for ext2")
    options.close()


def environment_of(settings: Mapping[str, Any]) -> dict[str, str]:
    """The environment in which a program starts, with nothing from the host."""
    entries = (entry.partition("=") for entry in settings["env"]["default"])
    return {name: value for name, _, value in entries}
