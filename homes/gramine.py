"""Gramine's manifest: rendered from its template, and checked more strictly than Gramine does.

Gramine refuses unknown names, but only at the enclave's start that a size is no power of two, and
never that an option gives the host a way in. The names are those of v1.9.
"""

import tomllib
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, TemplateError

from homes.environment import HARMLESS
from homes.table import SHORT_UNITS, Table

LARGEST_BYTES = 512 * 2**30
LEAST_THREADS = 16
LOG_LEVELS = ("none", "error", "warning")
MOUNTS = ("chroot", "encrypted", "tmpfs")
INSECURE = ("insecure__", "debug__"), "is an insecure option"
DEMONSTRATION_KEYS = "insecure__keys"
KEY_NAMES = ("default", "_sgx_mrenclave", "_sgx_mrsigner")


LATER = "{{ %s }}"


class Runtime:
    """What a template asks of Gramine itself; by default left for `gramine-manifest` to fill in."""

    def __init__(self, folder: str | None = None) -> None:
        self.libos = f"{folder}/libsysdb.so" if folder else LATER % "gramine.libos"
        self._folder = folder or LATER % "gramine.runtimedir()"

    def runtimedir(self) -> str:
        return self._folder


def render(template: Path, values: Mapping[str, str | int], runtime: Runtime) -> str:
    """The manifest of a template. Raises `ValueError` when a value is missing."""
    environment = Environment(
        loader=FileSystemLoader(template.parent),
        undefined=StrictUndefined,
        keep_trailing_newline=True,
    )
    try:
        return environment.get_template(template.name).render(gramine=runtime, **values)
    except TemplateError as error:
        raise ValueError(f"the template cannot be rendered: {error}") from None


def check(manifest: Any, *, demonstration: bool = False) -> list[str]:
    """All faults; none for a manifest that may be signed.

    A demonstration may say more in its log, which tells the host more, and hold a model's key,
    which the host then reads.
    """
    faults: list[str] = []
    top = Table(manifest, "", faults)
    _loader(top.table("loader"), demonstration)
    libos = top.table("libos")
    libos.text("entrypoint")
    libos.flag("check_invalid_pointers", default=True)
    libos.close()
    _file_systems(top.table("fs"), demonstration)
    _system(top.table("sys"))
    _sgx(top.table("sgx"))
    top.close()
    return faults


def parse(text: str) -> dict[str, Any]:
    """The values of a manifest. Raises `ValueError` when it is not TOML."""
    return tomllib.loads(text)


def mounts_of(manifest: Mapping[str, Any]) -> dict[str, Path]:
    """Folders inside, and the host's path of each that is mounted from it."""
    return {
        mount["path"]: Path(mount["uri"].removeprefix("file:"))
        for mount in manifest["fs"]["mounts"]
        if mount.get("type", "chroot") == "chroot"
    }


def trusted_of(manifest: Mapping[str, Any]) -> list[Path]:
    """All files that the manifest trusts, folders (they end in `/`) followed to their files."""
    found: list[Path] = []
    for entry in manifest["sgx"]["trusted_files"]:
        uri = entry if isinstance(entry, str) else entry["uri"]
        name = uri.removeprefix("file:")
        path = Path(name)
        inside = name.endswith("/")
        found += [one for one in path.rglob("*") if one.is_file()] if inside else [path]
    return found


def environment_of(manifest: Mapping[str, Any]) -> dict[str, str]:
    """The environment in which the program starts, with nothing from the host."""
    values = manifest["loader"]["env"]
    return {name: value for name, value in values.items() if isinstance(value, str)}


def _loader(table: Table, demonstration: bool) -> None:
    entrypoint = table.table("entrypoint")
    _uri(entrypoint, "uri")
    entrypoint.text("sha256", default="")
    entrypoint.close()
    if not table.items("argv"):
        table.fault("argv", "must hold the command line, which is then measured")
    environment = table.table("env")
    for name in environment.names():
        _variable(environment, name)
    levels = (*LOG_LEVELS, "debug", "trace", "all") if demonstration else LOG_LEVELS
    table.choice("log_level", levels, default="error")
    table.integer("uid", 0, 2**31, default=0)
    table.integer("gid", 0, 2**31, default=0)
    table.forbid(*INSECURE)
    table.close()


def _variable(environment: Table, name: str) -> None:
    value = environment.raw(name)
    if isinstance(value, str):
        return
    if value != {"passthrough": True}:
        environment.fault(name, "must be a text, or { passthrough = true }")
    elif name not in HARMLESS:
        environment.fault(name, "lets the host set what it may not")


def _file_systems(table: Table, demonstration: bool) -> None:
    if table.has("root"):
        _mount(table.table("root"), rooted=True)
    for mount in table.tables("mounts"):
        _mount(mount, rooted=False)
    table.text("start_dir", default="")
    if demonstration and table.has(DEMONSTRATION_KEYS):
        keys = table.table(DEMONSTRATION_KEYS)
        keys.text("default")
        keys.close()
    else:
        table.forbid(*INSECURE)
    table.close()


def _mount(mount: Table, *, rooted: bool) -> None:
    if not rooted and not mount.text("path").startswith("/"):
        mount.fault("path", "must be absolute")
    kind = mount.choice("type", MOUNTS, default="chroot")
    if kind == "tmpfs":
        mount.text("uri", default="")
    else:
        _uri(mount, "uri")
    if kind == "encrypted":
        mount.choice("key_name", KEY_NAMES, default="default")
    mount.close()


def _uri(table: Table, name: str) -> None:
    value = table.text(name)
    if value and not value.startswith("file:"):
        table.fault(name, f"{value!r} must begin with file:")


def _system(table: Table) -> None:
    if not table.flag("disallow_subprocesses", default=False):
        table.fault("disallow_subprocesses", "must be true: each child would be an enclave more")
    table.flag("enable_sigterm_injection", default=False)
    table.flag("enable_extra_runtime_domain_names_conf", default=False)
    for name, member in (("stack", "size"), ("brk", "max_size")):
        if table.has(name):
            inner = table.table(name)
            inner.size(member, SHORT_UNITS)
            inner.close()
    if table.has("fds"):
        inner = table.table("fds")
        inner.integer("limit", 256, 2**20)
        inner.close()
    table.forbid(*INSECURE)
    table.close()


def _sgx(table: Table) -> None:
    if table.flag("debug", default=True):
        table.fault("debug", "must be false: the host can read a debug enclave")
    size = table.size("enclave_size", SHORT_UNITS)
    if size & (size - 1) or not 0 < size <= LARGEST_BYTES:
        table.fault("enclave_size", f"{size} bytes must be a power of two, at most {LARGEST_BYTES}")
    table.integer("max_threads", LEAST_THREADS, 4096)
    table.integer("isvprodid", 0, 0xFFFF)
    table.integer("isvsvn", 0, 0xFFFF)
    table.choice("remote_attestation", ("dcap",))
    table.flag("preheat_enclave", default=False)
    if table.flag("edmm_enable", default=False) and not table.flag("use_exinfo", default=False):
        table.fault("edmm_enable", "needs use_exinfo = true")
    table.flag("use_exinfo", default=False)
    if table.flag("enable_stats", default=False):
        table.fault("enable_stats", "must be false: the host would be told what the enclave does")
    if table.has("cpu_features"):
        features = table.table("cpu_features")
        for name in ("avx", "avx512", "amx", "mpx", "pkru"):
            features.choice(name, ("unspecified", "disabled", "required"), default="unspecified")
        features.close()
    _files(table)
    table.forbid(*INSECURE)
    table.close()


def _files(table: Table) -> None:
    if table.items("allowed_files", default=()):
        table.fault("allowed_files", "must be empty: the host can change such files")
    entries = table.items("trusted_files")
    uris = [entry if isinstance(entry, str) else entry.get("uri", "") for entry in entries]
    if not uris:
        table.fault("trusted_files", "must name the files of the worker")
    for uri in uris:
        if not uri.startswith("file:"):
            table.fault("trusted_files", f"{uri!r} must begin with file:")
    for uri, count in Counter(uris).items():
        if count > 1:
            table.fault("trusted_files", f"{uri!r} is named twice")
